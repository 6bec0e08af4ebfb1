// Markdown as blocks that can grow: while text is appended, only its last block
// is parsed again, and all earlier ones keep their identity. Pure.

import type { RootContent } from "mdast";
import { fromMarkdown, type Options } from "mdast-util-from-markdown";
import { gfmFromMarkdown } from "mdast-util-gfm";
import { mathFromMarkdown } from "mdast-util-math";
import { gfm } from "micromark-extension-gfm";
import { math } from "micromark-extension-math";
import { normaliseMath } from "./math";

export interface Block {
  /** Where it begins; names it for as long as the text only grows. */
  at: number;
  node: RootContent;
}

export interface Parsed {
  /** The text as the parser got it. */
  source: string;
  blocks: Block[];
}

/** Longer texts are shown as they are: a parser is no place for a hostile megabyte. */
export const maxParsed = 400_000;

const options: Options = {
  extensions: [gfm({ singleTilde: false }), math({ singleDollarTextMath: false })],
  mdastExtensions: [gfmFromMarkdown(), mathFromMarkdown()],
};

function blocksOf(source: string, from: number): Block[] {
  const text = from === 0 ? source : source.slice(from);
  return fromMarkdown(text, options).children.map((node) => {
    const start = node.position?.start.offset ?? 0;
    // An indented block begins with its line.
    return { at: from + text.lastIndexOf("\n", start - 1) + 1, node };
  });
}

/** All of a text at once. */
export const parse = (text: string): Parsed => {
  const source = normaliseMath(text);
  return { source, blocks: blocksOf(source, 0) };
};

/** The blocks of a text that mostly continues the one before. */
export function grow(before: Parsed | null, text: string): Parsed {
  const source = normaliseMath(text);
  const last = before?.blocks.at(-1);
  if (!before || !last || last.at === 0 || before.source === source)
    return before?.source === source ? before : { source, blocks: blocksOf(source, 0) };
  if (!source.startsWith(before.source.slice(0, last.at))) return { source, blocks: blocksOf(source, 0) };
  return { source, blocks: [...before.blocks.slice(0, -1), ...blocksOf(source, last.at)] };
}
