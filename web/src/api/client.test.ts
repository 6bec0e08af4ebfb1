import { afterEach, describe, expect, it, vi } from "vitest";
import { ApiError, onUnauthenticated, problemOf, queryString, request, requestWithEtag } from "./client";

function answer(status: number, body: unknown, headers: Record<string, string> = {}) {
  const response = new Response(body === undefined ? null : JSON.stringify(body), {
    status,
    headers: { "content-type": "application/json", ...headers },
  });
  const fetched = vi.fn<typeof fetch>().mockResolvedValue(response);
  vi.stubGlobal("fetch", fetched);
  return fetched;
}

afterEach(() => vi.unstubAllGlobals());

describe("queryString", () => {
  it("leaves out what is empty and joins lists", () => {
    expect(queryString({ q: "", a: 1, b: null, c: undefined, s: ["x", "y"], none: [] })).toBe("?a=1&s=x%2Cy");
    expect(queryString(undefined)).toBe("");
  });
});

describe("problemOf", () => {
  it("reads a problem document", () => {
    const body = {
      title: "Unprocessable",
      code: "invalid",
      reason: "flow.no_start",
      detail: "There is no start node.",
      errors: [{ location: "body.nodes", message: "is empty" }, "noise"],
      request_id: "r1",
    };
    expect(problemOf(422, body, "other")).toMatchObject({
      status: 422,
      code: "invalid",
      reason: "flow.no_start",
      detail: "There is no start node.",
      errors: [{ location: "body.nodes", message: "is empty" }],
      requestId: "r1",
    });
  });

  it("makes something of any other body", () => {
    expect(problemOf(502, undefined, "r2")).toMatchObject({
      code: "unavailable",
      reason: "http.502",
      requestId: "r2",
    });
  });
});

describe("request", () => {
  it("sends JSON below the API base and gives the entity tag", async () => {
    const fetched = answer(200, { id: 1 }, { ETag: '"4"' });
    const got = await requestWithEtag("PUT", "/x", {
      body: { a: 1 },
      query: { limit: 2 },
      headers: { "If-Match": '"3"' },
    });
    expect(got).toEqual({ data: { id: 1 }, etag: '"4"' });
    const [url, init] = fetched.mock.calls[0] ?? [];
    expect(url).toBe("/api/x?limit=2");
    expect(init).toMatchObject({ method: "PUT", body: '{"a":1}', headers: { "If-Match": '"3"' } });
  });

  it("throws a typed error and tells of a lost session once per answer", async () => {
    const lost = vi.fn();
    onUnauthenticated(lost);
    answer(401, { detail: "Sign in.", code: "unauthenticated" });
    await expect(request("GET", "/flowcharts")).rejects.toMatchObject({ name: "ApiError", status: 401 });
    expect(lost).toHaveBeenCalledTimes(1);
    answer(401, { detail: "Wrong password." });
    await expect(request("POST", "/auth/login")).rejects.toBeInstanceOf(ApiError);
    expect(lost).toHaveBeenCalledTimes(1);
  });

  it("says that the server cannot be reached", async () => {
    vi.stubGlobal("fetch", vi.fn().mockRejectedValue(new TypeError("failed")));
    await expect(request("GET", "/x")).rejects.toMatchObject({ status: 0, reason: "network.unreachable" });
  });

  it("takes an empty answer", async () => {
    vi.stubGlobal("fetch", vi.fn().mockResolvedValue(new Response(null, { status: 204 })));
    await expect(request("DELETE", "/x")).resolves.toBeUndefined();
  });
});
