import { KeysHelp } from "../../../ui/keys-help";

const grid = [
  ["Tab", "To the grid of files"],
  ["Arrows", "From file to file in the grid"],
  ["Home, End", "The first file, the last one"],
  ["Page Up, Page Down", "A view of the grid up or down"],
  ["Enter", "The file's line in the list below"],
] as const;

/** The keys of an index run's page. */
export const SourceKeys = () => <KeysHelp keys={grid} />;
