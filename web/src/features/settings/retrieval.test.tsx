import { fireEvent, screen } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import type { Model, RetrievalSettings } from "../../api/aliases";
import { serve, show } from "../../test/render";
import { changeOf, effectsOf, faultOf, formOf, groups, modelChoices, optionsOf, staleOf } from "./retrieval";
import { RetrievalSettingsPage } from "./retrieval-form";

const stored: RetrievalSettings = {
  embedding_model_id: 3,
  embedding_dimensions: null,
  rerank_model_id: null,
  synthesis_model_id: null,
  top_k: 5,
  audit_days: 90,
  max_file_bytes: 1_048_576,
  pdf_max_file_bytes: 67_108_864,
  chunk_target_tokens: 400,
  chunk_max_tokens: 800,
  index_parallel_files: 4,
  embed_max_items: 100,
  embed_max_request_tokens: 285_000,
  embed_max_input_tokens: 8191,
  embed_parallel: 4,
};

const model = (id: number, name: string, provider_kind: Model["provider_kind"], purpose?: string): Model => ({
  id,
  name,
  provider_id: 1,
  provider_name: "p",
  provider_kind,
  model: name,
  config: purpose ? { purpose } : {},
  created_at: "2026-01-01T00:00:00Z",
  updated_at: "2026-01-01T00:00:00Z",
});

const models = [
  model(1, "claude", "anthropic"),
  model(2, "gpt", "openai"),
  model(3, "vectors", "gemini", "embedding"),
];

const patch = "PATCH /settings/rag";
const save = () => screen.getByRole<HTMLButtonElement>("button", { name: "Save" });
const type = (label: string, value: string) =>
  fireEvent.change(screen.getByLabelText(label), { target: { value } });

async function open(replies: Parameters<typeof serve>[0] = {}, manages = true) {
  const sent = serve({
    "GET /settings/rag": { body: stored, etag: '"3"' },
    "GET /models": { body: { items: models, next_cursor: null } },
    [patch]: { body: stored, etag: '"4"' },
    ...replies,
  });
  await show(<RetrievalSettingsPage manages={manages} />);
  await screen.findByLabelText("Passages");
  return { sent, patched: () => sent.find((s) => s.method === "PATCH") };
}

describe("the settings of retrieval", () => {
  it("sends what was changed and nothing else, against the version that was seen", async () => {
    const { patched } = await open();
    expect(save().disabled).toBe(true);
    type("Passages", "8");
    type("Largest file", "2.5");
    type("Dimensions", "256");
    type("Searches are kept", "");
    fireEvent.click(save());
    await screen.findByText(/^Saved\./);
    expect(patched()?.body).toEqual({
      top_k: 8,
      max_file_bytes: 2_621_440,
      embedding_dimensions: 256,
      audit_days: null,
    });
    expect(patched()?.headers.get("If-Match")).toBe('"3"');
  });

  it("says at the field what the server refuses", async () => {
    const errors = [{ location: "body.top_k", message: "is 99; accepted are 1 to 50" }];
    await open({ [patch]: { status: 422, body: { detail: "The settings cannot be used.", errors } } });
    type("Passages", "99");
    fireEvent.click(save());
    expect((await screen.findByText(/accepted are 1 to 50/)).parentElement?.textContent).toMatch(/^Passages/);
    screen.getByText("Nothing was saved: see the fields marked above.");
    type("Size of a passage", "300");
    screen.getByText(/cuts and embeds all of its files again/);
    type("Passages", "");
    screen.getByText("Give a number.");
    expect(save().disabled).toBe(true);
  });

  it("tests what is stored, and what is stored only", async () => {
    const found = {
      ok: true,
      dimensions: 768,
      latency_ms: 12,
      message: "vectors gives vectors of 768 dimensions.",
    };
    await open({ "POST /settings/rag/test": { body: found } });
    fireEvent.click(screen.getByRole("button", { name: "Test" }));
    await screen.findByText("vectors gives vectors of 768 dimensions.");
    type("Passages", "6");
    screen.getByText("Save first: the test asks with what is stored.");
    expect(screen.getByRole<HTMLButtonElement>("button", { name: "Test" }).disabled).toBe(true);
  });

  it("shows others what holds, without a way to change it", async () => {
    await open({}, false);
    expect(screen.getByLabelText<HTMLInputElement>("Passages").disabled).toBe(true);
    expect(screen.queryByRole("button", { name: "Save" })).toBeNull();
    expect(screen.queryByRole("button", { name: "Test" })).toBeNull();
  });
});

describe("the form of retrieval", () => {
  it("offers the models that fit, embedding models first, and a deleted one that is set", () => {
    const [embedding, rerank, synthesis] = modelChoices;
    if (!embedding || !rerank || !synthesis) throw new Error("there are three");
    expect(optionsOf(embedding, models, 3).map((o) => o.label)).toEqual(["vectors", "gpt"]);
    expect(optionsOf(rerank, models, null).map((o) => o.label)).toEqual(["gpt"]);
    expect(optionsOf(synthesis, models, null).map((o) => o.label)).toEqual(["claude", "gpt"]);
    expect(optionsOf(embedding, models, 9).at(-1)).toEqual({
      value: "9",
      label: "Number 9, which is not there",
    });
  });

  it("has a field for each setting, and changes nothing by itself", () => {
    const form = formOf(stored);
    expect(Object.keys({ ...form.models, ...form.numbers }).sort()).toEqual(Object.keys(stored).sort());
    expect(changeOf(form, stored)).toEqual({});
    const odd = { ...stored, max_file_bytes: 1_234_567 };
    expect(changeOf(formOf(odd), odd)).toEqual({});
  });

  it("says what a change does to what is indexed", () => {
    expect(effectsOf({ top_k: 8, embed_parallel: 2 })).toEqual([]);
    expect(effectsOf({ embedding_model_id: 2, chunk_max_tokens: 500 }).map((e) => e.slice(0, 22))).toEqual([
      "Every index has to be ",
      "The next run of each s",
    ]);
    expect(effectsOf({ embedding_model_id: null })[0]).toMatch(/^Searches go by words alone/);
  });

  it("knows which sources have vectors of another model", () => {
    const of = (source_id: number, model: string | null, status: "ready" | "not_indexed" = "ready") => ({
      source_id,
      name: "s",
      status,
      embedder: model === null ? null : { model, dimensions: 2 },
    });
    const all = [of(1, "new"), of(2, "old"), of(3, null), of(4, null, "not_indexed")];
    expect(staleOf(all, "new").map((c) => c.source_id)).toEqual([2, 3]);
  });

  it("knows numbers that are none", () => {
    const field = groups.flatMap((g) => g.fields).find((f) => f.name === "top_k");
    if (!field) throw new Error("there is one");
    const form = formOf(stored);
    for (const [value, fault] of [
      ["1.5", "Give a whole number."],
      ["", "Give a number."],
      [3, null],
    ] as const)
      expect(faultOf(field, { ...form, numbers: { ...form.numbers, top_k: value } })).toBe(fault);
  });
});
