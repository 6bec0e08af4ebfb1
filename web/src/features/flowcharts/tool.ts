// Names of flowcharts that are published as MCP tools.

const reserved = "llmctl_";
const longest = 64;

/** A name for a tool, made of the flowchart's. */
export function toolNameOf(flowchartName: string): string {
  const words = flowchartName
    .normalize("NFKD")
    .replace(/\p{M}/gu, "")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "_")
    .replace(/^[^a-z]+|_+$/g, "");
  const name = words.slice(0, longest);
  return name === "" || name.startsWith(reserved)
    ? `flowchart_${name}`.slice(0, longest).replace(/_+$/, "")
    : name;
}

/** What is wrong with a name, or null. */
export function faultOfToolName(name: string): string | null {
  if (name.startsWith(reserved)) return "Names that begin with llmctl_ are the Studio's own.";
  if (!/^[a-z][a-z0-9_]{0,63}$/.test(name)) return "A small letter, then a-z, 0-9 and _, 64 at most.";
  return null;
}
