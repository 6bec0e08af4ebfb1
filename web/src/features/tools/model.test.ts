import { expect, it } from "vitest";
import { callProgress } from "./model";

it.each([
  ["1 of 4: a quarter", { share: 0.25, text: "a quarter" }],
  ["1e+06 of 2e+06", { share: 0.5, text: "1e+06 of 2e+06" }],
  ["5 of 4: more than all: really", { share: 1, text: "more than all: really" }],
  ["7: files read", { share: null, text: "files read" }],
  ["7", { share: null, text: "7" }],
  ["0 of 0", { share: null, text: "0 of 0" }],
  ["reading", { share: null, text: "reading" }],
])("knows how far a call is by %s", (line, want) => {
  expect(callProgress(line)).toEqual(want);
});
