import { expect, it } from "vitest";
import { chatSettings } from "../../test/threads";
import { budgetFields, changeOf, faultOf, faulty, formOf, type NumberField } from "./settings";

const saved = chatSettings({ prices: [{ model_id: 3, input: 1, cached_input: 0.1, output: 4 }] });
const fieldOf = (name: NumberField) => {
  const found = budgetFields.find((f) => f.name === name);
  if (!found) throw new Error(name);
  return found;
};

it("sends only what differs", () => {
  const form = formOf(saved);
  expect(changeOf(form, saved)).toEqual({});
  const numbers = { ...form.numbers, history_percent: 50 };
  expect(changeOf({ ...form, numbers, model: 7 }, saved)).toEqual({
    history_percent: 50,
    default_model_id: 7,
  });
});

it("sends the price table whole, without rows that name no model", () => {
  const form = formOf(saved);
  const prices = [...form.prices, { key: 9, model: null, input: 1, cached: 1, output: 1 }];
  expect(changeOf({ ...form, prices }, saved)).toEqual({});
  expect(changeOf({ ...form, prices: [] }, saved)).toEqual({ prices: [] });
  expect(faulty({ ...form, prices })).toBe(true);
});

it("tells what does not fit together", () => {
  const form = formOf(saved);
  const of = (change: Partial<Record<NumberField, number | string>>) => ({
    ...form,
    numbers: { ...form.numbers, ...change },
  });
  expect(faultOf(fieldOf("history_percent"), of({ history_percent: 91 }))).toContain("10 to 90");
  expect(faultOf(fieldOf("history_percent"), of({ history_percent: "" }))).not.toBeNull();
  expect(faultOf(fieldOf("retrieval_percent"), of({ history_percent: 80, retrieval_percent: 16 }))).toContain(
    "95 %",
  );
  expect(faultOf(fieldOf("target_percent"), of({ target_percent: 90, trigger_percent: 90 }))).toContain(
    "below",
  );
  expect(faulty(form)).toBe(false);
});
