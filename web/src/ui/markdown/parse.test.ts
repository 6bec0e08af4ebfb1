import type { Nodes } from "mdast";
import { describe, expect, it } from "vitest";
import { normaliseMath } from "./math";
import { grow, type Parsed, parse } from "./parse";

const bare = (node: Nodes): unknown => {
  const { position: _, ...rest } = node;
  return "children" in rest ? { ...rest, children: rest.children.map((c) => bare(c)) } : rest;
};
const treeOf = (parsed: Parsed) => parsed.blocks.map((b) => bare(b.node));

const document = `# Title
Some *text* with \`code\` and a [link](https://example.org).
A second line
===

- one
- two

  more of two

    indented of two
1. first
2. second

> quoted
continued

| a | b |
|---|--:|
| 1 | 2 |

\`\`\`js
const a = "$1 and $2";

# not a heading
\`\`\`

    indented code

Costs $5 and $10, but $x^2$ and \\(y\\) are maths.

\\[
\\int_0^1 x
\\]

$$
a+b
$$
~~gone~~ https://example.org/path

* * *
end`;

describe("growing text", () => {
  it("gives at every length what parsing it whole gives", () => {
    let parsed: Parsed | null = null;
    for (let n = 1; n <= document.length; n++) {
      const text = document.slice(0, n);
      parsed = grow(parsed, text);
      expect(treeOf(parsed), JSON.stringify(text.slice(-60))).toEqual(treeOf(parse(text)));
    }
  });

  it("keeps what is above the last block", () => {
    const before = parse("one\n\ntwo\n\nthr");
    const after = grow(before, "one\n\ntwo\n\nthree\n\nfour");
    expect(after.blocks).toHaveLength(4);
    expect(after.blocks[0]).toBe(before.blocks[0]);
    expect(after.blocks[1]).toBe(before.blocks[1]);
    expect(after.blocks[2]).not.toBe(before.blocks[2]);
  });

  it("starts again when the text is another one", () => {
    const before = parse("one\n\ntwo");
    expect(treeOf(grow(before, "other\n\nwords"))).toEqual(treeOf(parse("other\n\nwords")));
    expect(grow(before, "one\n\ntwo")).toBe(before);
  });
});

describe("ways to write maths", () => {
  it.each([
    ["\\(a\\) and $b$", "$$a$$ and $$b$$"],
    ["it costs $5 and $10", "it costs $5 and $10"],
    ["from $5 to $ 6", "from $5 to $ 6"],
    ["`$a$` $b$", "`$a$` $$b$$"],
    ["```\n$a$\n```\n$b$", "```\n$a$\n```\n$$b$$"],
    ["```\n$a$ and \\(b\\)", "```\n$a$ and \\(b\\)"],
    ["\\[ x \\]", "$$\nx\n$$"],
    ["so \\[ x \\] holds", "so $$x$$ holds"],
    ["$$x$$", "$$x$$"],
    ["\\$a$ b", "\\$a$ b"],
  ])("%j", (written, expected) => {
    expect(normaliseMath(written)).toBe(expected);
  });
});
