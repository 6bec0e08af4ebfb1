import { describe, expect, it } from "vitest";
import { fieldsOf, readInput } from "./schema";

const schema = {
  type: "object",
  required: ["text", "n"],
  properties: {
    text: { type: "string", title: "Text" },
    n: { type: "integer" },
    ok: { type: "boolean" },
    lang: { enum: ["en", "de"], default: "en" },
    more: { type: "array" },
  },
};

const fields = fieldsOf(schema) ?? [];

describe("fieldsOf", () => {
  it("reads a flat object", () => {
    expect(fields.map((f) => [f.name, f.kind, f.required, f.initial])).toEqual([
      ["text", "text", true, ""],
      ["n", "integer", true, ""],
      ["ok", "boolean", false, ""],
      ["lang", "choice", false, "en"],
      ["more", "json", false, ""],
    ]);
  });

  it("leaves other schemas to JSON", () => {
    expect(fieldsOf({ type: "array" })).toBeNull();
    expect(fieldsOf(undefined)).toBeNull();
  });
});

describe("readInput", () => {
  it("gives typed values and leaves out what is empty", () => {
    expect(readInput(fields, { text: "hi", n: "3", ok: "true", lang: "", more: "[1]" })).toEqual({
      input: { text: "hi", n: 3, ok: true, more: [1] },
    });
  });

  it("says what is wrong, by field", () => {
    expect(readInput(fields, { n: "1.5", more: "{" })).toEqual({
      faults: { text: "This is required.", n: "This must be a whole number.", more: "This is not JSON." },
    });
    expect(readInput(fields, { text: "x", n: "many" })).toEqual({ faults: { n: "This is not a number." } });
  });
});
