import type { Root, RootContent } from "hast";
import { type ReactNode, useEffect, useState } from "react";
import { CopyButton } from "../feedback";
import classes from "./markdown.module.css";

// Above this, colours cost more than they tell.
const maxColoured = 60_000;
const whileOpenMs = 400;

interface Coloured {
  code: string;
  tree: Root;
}

const spans = (nodes: RootContent[]): ReactNode =>
  nodes.map((node, i) => {
    if (node.type === "text") return node.value;
    if (node.type !== "element") return null;
    const names = node.properties.className;
    return (
      // biome-ignore lint/suspicious/noArrayIndexKey: the tree is made anew as a whole
      <span key={i} className={Array.isArray(names) ? names.join(" ") : undefined}>
        {spans(node.children as RootContent[])}
      </span>
    );
  });

/** The colours of a code; of one that grows, those of what there was a moment ago. */
function useColours(code: string, language: string, open: boolean): Coloured | null {
  const [coloured, setColoured] = useState<Coloured | null>(null);
  const wanted = language !== "" && code.length <= maxColoured && coloured?.code !== code;
  // A growing code asks once in a while, not with each of its letters.
  const step = open ? Math.floor(code.length / 80) : code;
  // biome-ignore lint/correctness/useExhaustiveDependencies: the step stands for the code
  useEffect(() => {
    if (!wanted) return;
    let gone = false;
    const timer = setTimeout(
      () =>
        void import("./highlight").then(({ highlight }) => {
          const tree = highlight(code, language);
          if (!gone && tree) setColoured({ code, tree });
        }),
      open ? whileOpenMs : 0,
    );
    return () => {
      gone = true;
      clearTimeout(timer);
    };
  }, [step, language, open, wanted]);
  return coloured && code.startsWith(coloured.code) ? coloured : null;
}

export function CodeBlock({ code, language, open }: { code: string; language: string; open: boolean }) {
  const coloured = useColours(code, language.toLowerCase(), open);
  return (
    <figure className={classes.code}>
      <figcaption>
        <span>{language || "text"}</span>
        {!open && <CopyButton text={code} label="Copy the code" />}
      </figcaption>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, also by keyboard */}
      <pre tabIndex={0}>
        <code>
          {coloured ? (
            <>
              {spans(coloured.tree.children)}
              {code.slice(coloured.code.length)}
            </>
          ) : (
            code
          )}
        </code>
      </pre>
    </figure>
  );
}
