// The only place that calls fetch. Addresses, parameters and answers are typed by
// the generated document. Failures arrive as ApiError, whatever went wrong: a
// problem document, another body, or no answer at all.

import createClient from "openapi-fetch";
import { config } from "../config";
import type { paths } from "./generated/schema";

export interface FieldError {
  location: string;
  message: string;
}

export class ApiError extends Error {
  override readonly name = "ApiError";

  constructor(
    readonly status: number,
    readonly code: string,
    readonly reason: string,
    readonly detail: string,
    readonly errors: FieldError[],
    readonly requestId: string,
  ) {
    super(detail);
  }
}

const requestTimeoutMs = 30_000;
let unauthenticated: (() => void) | undefined;

/** Registers what happens when the server no longer knows the session. */
export function onUnauthenticated(handler: () => void): void {
  unauthenticated = handler;
}

export function queryString(query: Record<string, unknown>): string {
  const params = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    const text = Array.isArray(value) ? value.join(",") : String(value ?? "");
    if (text !== "") params.set(key, text);
  }
  return params.toString();
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const text = (value: unknown, fallback: string): string =>
  typeof value === "string" && value !== "" ? value : fallback;

/** Turns a failed response into the typed error. Exported for its test. */
export function problemOf(status: number, body: unknown, requestId: string): ApiError {
  const problem = isRecord(body) ? body : {};
  const errors = Array.isArray(problem.errors)
    ? problem.errors
        .filter(isRecord)
        .map((e) => ({ location: text(e.location, ""), message: text(e.message, "") }))
    : [];
  return new ApiError(
    status,
    text(problem.code, status >= 500 ? "unavailable" : "invalid"),
    text(problem.reason, `http.${status}`),
    text(problem.detail, text(problem.title, `The server answered with status ${status}.`)),
    errors,
    text(problem.request_id, requestId),
  );
}

async function send(request: Request): Promise<Response> {
  const timeout = AbortSignal.timeout(requestTimeoutMs);
  try {
    return await fetch(request, { signal: AbortSignal.any([request.signal, timeout]) });
  } catch (cause) {
    if (request.signal.aborted) throw cause;
    const detail = timeout.aborted
      ? "The server did not answer within 30 seconds. Try again; if it stays, check that the server is running."
      : "The server cannot be reached. Check the network and that the server is running.";
    throw new ApiError(0, "unavailable", "network.unreachable", detail, [], "");
  }
}

// The document names addresses below /api; where that really is, the server says.
type BelowApi<P> = { [K in keyof P as K extends `/api${infer Rest}` ? Rest : never]: P[K] };

export const api = createClient<BelowApi<paths>>({
  baseUrl: config.apiBase,
  fetch: send,
  credentials: "same-origin",
  headers: { Accept: "application/json" },
  querySerializer: queryString,
});

api.use({
  onResponse({ response, schemaPath }) {
    if (response.status === 401 && !schemaPath.startsWith("/auth/")) unauthenticated?.();
  },
});

/** Where a browser downloads something of the API from. */
export const addressOf = (path: keyof BelowApi<paths>, id: number): string =>
  config.apiBase + path.replace("{id}", String(id));

interface Outcome<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

export interface Answer<T> {
  data: T;
  etag: string | null;
}

/** The answer of a call with its entity tag, or an ApiError. */
export async function withEtag<T>(call: Promise<Outcome<T>>): Promise<Answer<T>> {
  const { data, error, response } = await call.catch(unreadable);
  if (!response.ok) throw problemOf(response.status, error, response.headers.get("x-request-id") ?? "");
  // Without a body the type of T is undefined as well.
  return { data: data as T, etag: response.headers.get("etag") };
}

/** The answer of a call, or an ApiError. */
export async function result<T>(call: Promise<Outcome<T>>): Promise<T> {
  return (await withEtag(call)).data;
}

// What stands between may answer with anything, a sign-in page for example.
function unreadable(cause: unknown): never {
  if (!(cause instanceof SyntaxError)) throw cause;
  const detail = "The answer is not from the Studio's API. Check what stands between the browser and it.";
  throw new ApiError(0, "unavailable", "network.unreadable", detail, [], "");
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const gone = (detail: string): ApiError =>
  new ApiError(0, "unavailable", "network.unreachable", detail, [], "");

/** Sends a file and tells how far it is, which fetch cannot. */
export function upload<T>(
  address: string,
  body: Blob,
  signal: AbortSignal,
  onProgress: (fraction: number) => void,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", address);
    request.setRequestHeader("Accept", "application/json");
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.onprogress = (e) => e.lengthComputable && e.total > 0 && onProgress(e.loaded / e.total);
    request.onload = () => {
      const answer = readJson(request.responseText);
      if (request.status === 401) unauthenticated?.();
      if (request.status >= 200 && request.status < 300) resolve(answer as T);
      else reject(problemOf(request.status, answer, request.getResponseHeader("x-request-id") ?? ""));
    };
    request.onerror = () =>
      reject(gone("The server cannot be reached. Check the network and that the server is running."));
    request.onabort = () => reject(gone("It was taken back."));
    signal.addEventListener("abort", () => request.abort());
    if (signal.aborted) request.abort();
    else request.send(body);
  });
}

/** A header with a key that makes one intended write happen once, however often it is sent. */
export const idempotencyKey = (): { "Idempotency-Key": string } => ({ "Idempotency-Key": newKey() });

// randomUUID exists in secure contexts only; a plain-HTTP host in the LAN is none.
function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}
