import type { Nodes, Parents, RootContent, Table } from "mdast";
import { type CSSProperties, Fragment, lazy, memo, type ReactNode, Suspense } from "react";
import { CodeBlock } from "./code-block";
import classes from "./markdown.module.css";
import { MarkContext, MarkedText } from "./marks";

// Some 80 kB that most conversations do without.
const Tex = lazy(async () => ({ default: (await import("./tex")).Tex }));

// Deeper than people write; recursion must have an end.
const maxDepth = 40;

const schemes = new Set(["http:", "https:", "mailto:"]);

/** Where a link may lead: other schemes, such as javascript:, are shown as text. */
export function safeAddress(url: string): string | null {
  try {
    return schemes.has(new URL(url).protocol) ? url : null;
  } catch {
    return null; // relative: a model cannot know where this page is
  }
}

function Anchor({ url, title, children }: { url: string; title?: string | null; children: ReactNode }) {
  const href = safeAddress(url);
  if (href === null) return <span title={url}>{children}</span>;
  return (
    <a href={href} title={title ?? href} target="_blank" rel="noreferrer noopener">
      {/* A reference is a button, which a link cannot hold. */}
      <MarkContext value={null}>{children}</MarkContext>
    </a>
  );
}

function TableView({ node, depth }: { node: Table; depth: number }) {
  const [head, ...rows] = node.children;
  const style = (i: number): CSSProperties => ({ textAlign: node.align?.[i] ?? "left" });
  return (
    <div className={classes.tableFrame}>
      <table>
        {head && (
          <thead>
            <tr>
              {head.children.map((cell, i) => (
                <th key={cell.position?.start.offset} style={style(i)}>
                  {childrenOf(cell, depth)}
                </th>
              ))}
            </tr>
          </thead>
        )}
        <tbody>
          {rows.map((row) => (
            <tr key={row.position?.start.offset}>
              {row.children.map((cell, i) => (
                <td key={cell.position?.start.offset} style={style(i)}>
                  {childrenOf(cell, depth)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Maths({ source, display }: { source: string; display: boolean }) {
  return (
    <Suspense fallback={<code>{source}</code>}>
      <Tex source={source} display={display} />
    </Suspense>
  );
}

const childrenOf = (parent: Parents, depth: number, open = false): ReactNode =>
  parent.children.map((child, i) => (
    <Fragment key={`${child.type}${child.position?.start.offset ?? i}`}>
      {render(child, depth + 1, open && i === parent.children.length - 1)}
    </Fragment>
  ));

const headings = { 1: "h3", 2: "h4", 3: "h5", 4: "h6", 5: "h6", 6: "h6" } as const;

function render(node: Nodes, depth: number, open: boolean): ReactNode {
  if (depth > maxDepth) return "…";
  switch (node.type) {
    case "paragraph":
      return <p>{childrenOf(node, depth)}</p>;
    case "heading": {
      // The page's own headings come first.
      const Heading = headings[node.depth];
      return <Heading data-level={node.depth}>{childrenOf(node, depth)}</Heading>;
    }
    case "blockquote":
      return <blockquote>{childrenOf(node, depth, open)}</blockquote>;
    case "list":
      return node.ordered ? (
        <ol start={node.start ?? 1}>{childrenOf(node, depth, open)}</ol>
      ) : (
        <ul>{childrenOf(node, depth, open)}</ul>
      );
    case "listItem":
      return (
        <li data-task={node.checked === null || node.checked === undefined ? undefined : true}>
          {typeof node.checked === "boolean" && (
            <input type="checkbox" checked={node.checked} readOnly disabled aria-label="Done" />
          )}
          {node.children.map((child, i) => (
            <Fragment key={child.position?.start.offset ?? i}>
              {child.type === "paragraph" && !node.spread
                ? childrenOf(child, depth)
                : render(child, depth + 1, open && i === node.children.length - 1)}
            </Fragment>
          ))}
        </li>
      );
    case "code":
      return <CodeBlock code={node.value} language={node.lang ?? ""} open={open} />;
    case "math":
      return <Maths source={node.value} display />;
    case "table":
      return <TableView node={node} depth={depth} />;
    case "thematicBreak":
      return <hr />;
    case "footnoteDefinition":
      return (
        <div className={classes.footnote}>
          <sup>{node.label ?? node.identifier}</sup>
          {childrenOf(node, depth)}
        </div>
      );
    case "definition":
      return null;
    default:
      return phrase(node, depth);
  }
}

function phrase(node: Nodes, depth: number): ReactNode {
  switch (node.type) {
    case "text":
      return <MarkedText value={node.value} />;
    case "html": // shown, never meant
      return node.value;
    case "emphasis":
      return <em>{childrenOf(node, depth)}</em>;
    case "strong":
      return <strong>{childrenOf(node, depth)}</strong>;
    case "delete":
      return <del>{childrenOf(node, depth)}</del>;
    case "inlineCode":
      return <code>{node.value}</code>;
    case "inlineMath":
      return <Maths source={node.value} display={false} />;
    case "break":
      return <br />;
    case "link":
      return (
        <Anchor url={node.url} title={node.title ?? null}>
          {childrenOf(node, depth)}
        </Anchor>
      );
    case "image": // never loaded: its address could carry away what the model has read
      return <Anchor url={node.url}>{node.alt || node.url}</Anchor>;
    case "linkReference":
      return childrenOf(node, depth);
    case "imageReference":
      return node.alt ?? node.identifier;
    case "footnoteReference":
      return <sup>{node.label ?? node.identifier}</sup>;
    default:
      return "children" in node ? childrenOf(node, depth) : null;
  }
}

export const BlockView = memo(function BlockView({ node, open }: { node: RootContent; open: boolean }) {
  return <>{render(node, 0, open)}</>;
});
