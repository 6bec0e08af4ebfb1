import { describe, expect, it } from "vitest";
import { readConfig } from "../config";
import { bytes, duration, relative } from "./format";

describe("format", () => {
  it("says durations in fitting units", () => {
    expect([-5, 12, 1_500, 42_000, 125_000, 3_720_000, 90_000_000].map(duration)).toEqual([
      "0 ms",
      "12 ms",
      "1.5 s",
      "42 s",
      "2 min 05 s",
      "1 h 02 min",
      "1 d 1 h",
    ]);
  });

  it("says how long ago", () => {
    const now = 1_700_000_000_000;
    expect([0, 30, 300, 7_200, 200_000].map((s) => relative(now - s * 1_000, now))).toEqual([
      "just now",
      "30 s ago",
      "5 min ago",
      "2 h ago",
      "2 d ago",
    ]);
    expect(relative(now + 2_000, now)).toBe("in a moment");
  });

  it("says sizes", () => {
    expect([10, 2_048, 3_145_728].map(bytes)).toEqual(["10 B", "2.0 KiB", "3.0 MiB"]);
  });
});

describe("readConfig", () => {
  it("falls back to what a development server needs", () => {
    expect(readConfig(undefined)).toMatchObject({
      basePath: "/",
      apiBase: "/api",
      transports: ["websocket", "polling"],
    });
  });

  it("takes what the server injects", () => {
    const got = readConfig({
      basePath: "/x/web/",
      apiBase: "/x/api",
      socketPath: "/x/api/socket.io",
      transports: ["polling"],
    });
    expect(got).toMatchObject({ basePath: "/x/web", apiBase: "/x/api", transports: ["polling"] });
  });
});
