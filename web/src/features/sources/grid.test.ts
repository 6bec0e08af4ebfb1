import { describe, expect, it } from "vitest";
import { indexFile } from "../../test/sources";
import { cellAt, gridOf, moveIn, stateOf, tallyOf } from "./grid";

describe("the grid", () => {
  const grid = gridOf(100, 180); // 10 columns of 18 pixels

  it("counts files by what became of them", () => {
    const files = [
      indexFile("a", { status: "done" }),
      indexFile("b", { status: "done", action: "remove" }),
      indexFile("c", { status: "failed" }),
      indexFile("d"),
    ];
    expect(files.map(stateOf)).toEqual(["add", "remove", "failed", "pending"]);
    expect(tallyOf(files)).toEqual({ add: 1, change: 0, remove: 1, failed: 1, pending: 1 });
  });

  it("finds the file at a place", () => {
    expect(cellAt(grid, 100, 20, 40)).toBe(21);
    expect(cellAt(grid, 100, 185, 0)).toBeNull();
    expect(cellAt(grid, 15, 100, 20)).toBeNull();
  });

  it("moves by keys and stays inside", () => {
    expect(moveIn(grid, 100, 50, "ArrowDown")).toBe(60);
    expect(moveIn(grid, 100, 95, "ArrowDown")).toBe(99);
    expect(moveIn(grid, 100, 3, "ArrowUp")).toBe(0);
    expect(moveIn(grid, 100, 3, "End")).toBe(99);
    expect(moveIn(grid, 100, 3, "x")).toBeNull();
    expect(moveIn(grid, 0, 0, "End")).toBeNull();
  });

  it("draws tens of thousands in a window of a few rows", () => {
    const large = gridOf(40_000, 1_118);
    expect(large.columns * large.rows).toBeGreaterThanOrEqual(40_000);
    expect(large.view).toBeLessThanOrEqual(252);
    expect(gridOf(5, 0).columns).toBe(1);
  });
});
