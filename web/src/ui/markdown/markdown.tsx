import { memo, useRef } from "react";
import { BlockView } from "./block-view";
import classes from "./markdown.module.css";
import { grow, maxParsed, type Parsed } from "./parse";

interface Props {
  text: string;
  /** More of it is coming: the last block is not finished. */
  open?: boolean;
}

/**
 * A model's text. Becomes elements by way of a tree, so that no markup of the text
 * is ever the page's; while it grows, only its last block is made again.
 */
export const Markdown = memo(function Markdown({ text, open = false }: Props) {
  const before = useRef<Parsed | null>(null);
  if (text.length > maxParsed) return <pre className={classes.raw}>{text}</pre>;
  const parsed = grow(before.current, text);
  before.current = parsed;
  return (
    <div className={classes.text}>
      {parsed.blocks.map((block, i) => (
        <BlockView key={block.at} node={block.node} open={open && i === parsed.blocks.length - 1} />
      ))}
    </div>
  );
});
