// A run's input as a form, for schemas that describe a flat object. Pure.

import type { Json, JsonObject } from "../../api/aliases";

export interface Field {
  name: string;
  label: string;
  description: string;
  kind: "text" | "number" | "integer" | "boolean" | "choice" | "json";
  choices: string[];
  required: boolean;
  initial: string;
}

const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const str = (value: Json | undefined): string => (typeof value === "string" ? value : "");

function kindOf(schema: JsonObject): Field["kind"] {
  if (Array.isArray(schema.enum) && schema.enum.every((v) => typeof v === "string")) return "choice";
  switch (schema.type) {
    case "string":
      return "text";
    case "number":
    case "integer":
    case "boolean":
      return schema.type;
    default:
      return "json";
  }
}

const initialOf = (value: Json | undefined): string =>
  value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value);

/** The fields of a schema, or null where it is no flat object. */
export function fieldsOf(schema: Json | undefined): Field[] | null {
  if (!isObject(schema) || !isObject(schema.properties)) return null;
  const required = Array.isArray(schema.required) ? schema.required : [];
  return Object.entries(schema.properties).map(([name, raw]) => {
    const property = isObject(raw) ? raw : {};
    const kind = kindOf(property);
    return {
      name,
      label: str(property.title) || name,
      description: str(property.description),
      kind,
      choices: kind === "choice" && Array.isArray(property.enum) ? property.enum.map(String) : [],
      required: required.includes(name),
      initial: initialOf(property.default),
    };
  });
}

/** The input that a filled form means, or what is wrong with it, by field. */
export function readInput(
  fields: readonly Field[],
  values: Readonly<Record<string, string>>,
): { input: JsonObject } | { faults: Record<string, string> } {
  const input: JsonObject = {};
  const faults: Record<string, string> = {};
  for (const field of fields) {
    const text = values[field.name] ?? "";
    if (text.trim() === "") {
      if (field.kind === "boolean" && field.required) input[field.name] = false;
      else if (field.required) faults[field.name] = "This is required.";
      continue;
    }
    const read = readValue(field, text);
    if ("fault" in read) faults[field.name] = read.fault;
    else input[field.name] = read.value;
  }
  return Object.keys(faults).length > 0 ? { faults } : { input };
}

function readValue(field: Field, text: string): { value: Json } | { fault: string } {
  switch (field.kind) {
    case "text":
    case "choice":
      return { value: text };
    case "boolean":
      return { value: text === "true" };
    case "number":
    case "integer": {
      const n = Number(text);
      if (!Number.isFinite(n)) return { fault: "This is not a number." };
      if (field.kind === "integer" && !Number.isInteger(n)) return { fault: "This must be a whole number." };
      return { value: n };
    }
    case "json":
      try {
        const value: Json = JSON.parse(text);
        return { value };
      } catch {
        return { fault: "This is not JSON." };
      }
  }
}
