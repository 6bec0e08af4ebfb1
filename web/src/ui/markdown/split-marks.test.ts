import { describe, expect, it } from "vitest";
import { marksIn, splitMarks } from "./split-marks";

describe("references in a text", () => {
  it("are pieces of their own, each with where it begins", () => {
    expect(splitMarks("As [1] says [2, 13].")).toEqual([
      { at: 0, text: "As ", n: null },
      { at: 3, text: "[1]", n: 1 },
      { at: 6, text: " says ", n: null },
      { at: 12, text: "[2]", n: 2 },
      { at: 14, text: "[13]", n: 13 },
      { at: 19, text: ".", n: null },
    ]);
    expect(splitMarks("[1][3]").map((p) => p.n)).toEqual([1, 3]);
  });

  it("leaves other brackets alone", () => {
    for (const text of ["a[i] and [x]", "[1a]", "[]", "[1234]", "[1,]", ""])
      expect(splitMarks(text).every((p) => p.n === null)).toBe(true);
    expect(splitMarks("")).toEqual([]);
  });

  it("tells which numbers are named", () => {
    expect([...marksIn("[2] and [1, 2]")].sort()).toEqual([1, 2]);
  });
});
