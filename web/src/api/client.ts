// The only place that calls fetch. Failures arrive as ApiError, whatever went
// wrong: a problem document, another body, or no answer at all.

import { config } from "../config";

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

type QueryValue = string | number | boolean | null | undefined | readonly string[];

export interface RequestOptions {
  query?: Record<string, QueryValue> | undefined;
  body?: unknown;
  headers?: Record<string, string> | undefined;
  signal?: AbortSignal | undefined;
}

export interface Answer<T> {
  data: T;
  etag: string | null;
}

const requestTimeoutMs = 30_000;
let unauthenticated: (() => void) | undefined;

/** Registers what happens when the server no longer knows the session. */
export function onUnauthenticated(handler: () => void): void {
  unauthenticated = handler;
}

export function queryString(query: Record<string, QueryValue> | undefined): string {
  const params = new URLSearchParams();
  for (const [key, value] of Object.entries(query ?? {})) {
    if (value === undefined || value === null || value === "") continue;
    params.set(key, typeof value === "object" ? value.join(",") : String(value));
    if (typeof value === "object" && value.length === 0) params.delete(key);
  }
  const text = params.toString();
  return text === "" ? "" : `?${text}`;
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

async function bodyOf(response: Response): Promise<unknown> {
  if (response.status === 204) return undefined;
  const type = response.headers.get("content-type") ?? "";
  if (!type.includes("json")) {
    await response.text();
    return undefined;
  }
  return response.json();
}

async function send(method: string, url: string, options: RequestOptions): Promise<Response> {
  const headers: Record<string, string> = { Accept: "application/json", ...options.headers };
  if (options.body !== undefined) headers["Content-Type"] = "application/json";
  const timeout = AbortSignal.timeout(requestTimeoutMs);
  try {
    return await fetch(url, {
      method,
      headers,
      credentials: "same-origin",
      signal: options.signal ? AbortSignal.any([options.signal, timeout]) : timeout,
      ...(options.body !== undefined && { body: JSON.stringify(options.body) }),
    });
  } catch (cause) {
    if (options.signal?.aborted) throw cause;
    const detail = timeout.aborted
      ? "The server did not answer within 30 seconds. Try again; if it stays, check that the server is running."
      : "The server cannot be reached. Check the network and that the server is running.";
    throw new ApiError(0, "unavailable", "network.unreachable", detail, [], "");
  }
}

export async function requestWithEtag<T>(
  method: string,
  path: string,
  options: RequestOptions = {},
): Promise<Answer<T>> {
  const response = await send(method, `${config.apiBase}${path}${queryString(options.query)}`, options);
  const body = await bodyOf(response).catch(() => undefined);
  if (!response.ok) {
    if (response.status === 401 && !path.startsWith("/auth/")) unauthenticated?.();
    throw problemOf(response.status, body, response.headers.get("x-request-id") ?? "");
  }
  return { data: body as T, etag: response.headers.get("etag") };
}

export async function request<T>(method: string, path: string, options: RequestOptions = {}): Promise<T> {
  return (await requestWithEtag<T>(method, path, options)).data;
}

/** A key that makes one intended write happen once, however often it is sent. */
export const idempotencyKey = (): Record<string, string> => ({ "Idempotency-Key": newKey() });

// randomUUID exists in secure contexts only; a plain-HTTP host in the LAN is none.
function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}
