// Models write maths in several ways. Here they become the one that the parser
// knows, $$…$$; code is left as it is. Pure.

// What is skipped comes first: fenced code, code spans, escaped signs.
const pattern = new RegExp(
  [
    /(?<fence>(?:^|\n)[ \t]{0,3}(?<mark>`{3,}|~{3,})[\s\S]*?(?:\n[ \t]{0,3}\k<mark>|$(?![\s\S])))/,
    /(?<code>(?<ticks>`+)[^`][\s\S]*?\k<ticks>(?!`))/,
    /(?<already>\$\$[\s\S]*?\$\$)/,
    /(?:\\\[(?<display>(?:(?!\n\s*\n)[\s\S]){1,4000}?)\\\])/,
    /(?:\\\((?<inline>[^\n]{1,2000}?)\\\))/,
    /(?<escaped>\\[\s\S])/,
    // As Pandoc has it: nothing blank inside at the signs, no digit after: "$5 and $10" is money.
    /(?:\$(?![\s$])(?<dollar>[^$\n]{1,1000}?)(?<![\s\\])\$(?![\d$]))/,
  ]
    .map((part) => part.source)
    .join("|"),
  "g",
);

export function normaliseMath(text: string): string {
  if (!text.includes("$") && !text.includes("\\")) return text;
  return text.replace(pattern, (whole: string, ...rest: unknown[]) => {
    const groups = rest.at(-1) as Record<string, string | undefined>;
    const offset = rest.at(-3) as number;
    const { display, inline, dollar } = groups;
    if (display !== undefined) {
      const alone = text.slice(text.lastIndexOf("\n", offset - 1) + 1, offset).trim() === "";
      return alone ? `$$\n${display.trim()}\n$$` : `$$${display.trim()}$$`;
    }
    const body = inline ?? dollar;
    return body === undefined ? whole : `$$${body.trim()}$$`;
  });
}
