import { describe, expect, it, vi } from "vitest";
import { append, type Chunk, codePoints, emptyText, LiveTexts } from "./live";

const chunk = (offset: number, text: string, sequence: number, attempt = 1): Chunk => ({
  attempt,
  offset,
  text,
  sequence,
});

describe("the text of a running turn", () => {
  it("grows by what follows it, drops what it has, and tells a gap", () => {
    const one = append(emptyText, chunk(0, "Hällo 👋", 1));
    if (one === "gap") throw new Error("gap");
    expect(one.length).toBe(7);
    expect(append(one, chunk(6, "👋 you", 2))).toMatchObject({
      text: "Hällo 👋 you",
      length: 11,
      sequence: 2,
    });
    expect(append(one, chunk(0, "Hällo 👋", 1))).toBe(one);
    expect(append(one, chunk(8, "x", 3))).toBe("gap");
  });

  it("begins again with a new attempt, and knows nothing more of the old one", () => {
    const two = append(
      { ...emptyText, attempt: 1, text: "old", length: 3, sequence: 4 },
      chunk(0, "new", 5, 2),
    );
    expect(two).toMatchObject({ attempt: 2, text: "new", sequence: 5 });
    if (two === "gap") throw new Error("gap");
    expect(append(two, chunk(3, " late", 6, 1))).toBe(two);
  });

  it("counts characters as the server does", () => {
    expect(["a", "ä", "👋", "👨‍👩‍👧", ""].map(codePoints)).toEqual([1, 1, 1, 5, 0]);
  });

  it("is whole in whatever order, overlap and repetition the chunks come", () => {
    let seed = 7;
    const random = (n: number) => {
      seed = (seed * 1103515245 + 12345) % 2147483648;
      return seed % n;
    };
    const whole = Array.from("The 👋 quick brown 🦊 jumps over the lazy dog, twice. ".repeat(5));
    for (let round = 0; round < 200; round++) {
      let live = emptyText;
      while (live.length < whole.length) {
        const offset = Math.max(0, live.length - random(6) + random(3));
        const next = append(live, chunk(offset, whole.slice(offset, offset + 1 + random(9)).join(""), 1));
        if (next !== "gap") live = next;
      }
      expect(live.text).toBe(whole.join(""));
    }
  });
});

describe("live texts", () => {
  const frames = () => {
    const queue: FrameRequestCallback[] = [];
    vi.stubGlobal("requestAnimationFrame", (f: FrameRequestCallback) => queue.push(f));
    return () => {
      for (const f of queue.splice(0)) f(0);
    };
  };

  it("tell once a frame", () => {
    const frame = frames();
    const texts = new LiveTexts(async () => []);
    const told = vi.fn();
    texts.subscribe(1, told);
    for (let i = 0; i < 20; i++) texts.apply(1, chunk(i, "x", i + 1));
    expect(told).not.toHaveBeenCalled();
    frame();
    expect(told).toHaveBeenCalledTimes(1);
    expect(texts.get(1).text).toBe("x".repeat(20));
  });

  it("fill a gap from the log, and keep the order of what comes meanwhile", async () => {
    frames();
    let answer: (chunks: Chunk[]) => void = () => {};
    const asked: [number, number][] = [];
    const texts = new LiveTexts((turn, after) => {
      asked.push([turn, after]);
      return new Promise((resolve) => {
        answer = resolve;
      });
    });
    texts.apply(1, chunk(0, "ab", 1));
    texts.apply(1, chunk(4, "ef", 3));
    texts.apply(1, chunk(6, "gh", 4));
    expect(texts.get(1).text).toBe("ab");
    expect(asked).toEqual([[1, 1]]);
    answer([chunk(2, "cd", 2), chunk(4, "ef", 3)]);
    await vi.waitFor(() => expect(texts.get(1).text).toBe("abcdefgh"));
    texts.apply(1, chunk(8, "i", 5));
    expect(texts.get(1)).toMatchObject({ text: "abcdefghi", sequence: 5 });
  });

  it("take a snapshot only when it says more", () => {
    frames();
    const texts = new LiveTexts(async () => []);
    texts.seed(1, { attempt: 1, text: "abc", parts: [], sequence: 3 });
    texts.apply(1, chunk(3, "def", 4));
    texts.seed(1, { attempt: 1, text: "abc", parts: [], sequence: 3 });
    expect(texts.get(1).text).toBe("abcdef");
    texts.seed(1, { attempt: 2, text: "", parts: [], sequence: 9 });
    expect(texts.get(1)).toMatchObject({ text: "", attempt: 2 });
  });
});
