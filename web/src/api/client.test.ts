import { afterEach, describe, expect, it, vi } from "vitest";
import { ApiError, api, onUnauthenticated, problemOf, queryString, result, withEtag } from "./client";

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
    expect(queryString({ q: "", a: 1, b: null, c: undefined, s: ["x", "y"], none: [] })).toBe("a=1&s=x%2Cy");
    expect(queryString({})).toBe("");
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

const graph = { nodes: [], edges: [] };
const putGraph = () =>
  api.PUT("/flowcharts/{id}/graph", {
    params: { path: { id: 7 }, header: { "If-Match": '"3"' } },
    body: graph,
  });

describe("api", () => {
  it("sends JSON below the API base and gives the entity tag", async () => {
    const fetched = answer(200, { version: 1 }, { ETag: '"4"' });
    expect(await withEtag(putGraph())).toEqual({ data: { version: 1 }, etag: '"4"' });
    const request = fetched.mock.calls[0]?.[0] as Request;
    expect(new URL(request.url).pathname).toBe("/api/flowcharts/7/graph");
    expect(request.method).toBe("PUT");
    expect(request.headers.get("if-match")).toBe('"3"');
    expect(request.headers.get("content-type")).toBe("application/json");
    expect(await request.json()).toEqual(graph);
  });

  it("puts what is set into the query", async () => {
    const fetched = answer(200, { items: [], next_cursor: null });
    await result(
      api.GET("/flowchart-runs", { params: { query: { status: ["queued", "running"], cursor: "" } } }),
    );
    const request = fetched.mock.calls[0]?.[0] as Request;
    expect(new URL(request.url).search).toBe("?status=queued%2Crunning");
  });

  it("throws a typed error with the request id", async () => {
    answer(412, { detail: "Somebody saved.", code: "precondition", request_id: "r9" });
    await expect(result(putGraph())).rejects.toMatchObject({ status: 412, requestId: "r9" });
    answer(502, "no problem document", { "x-request-id": "r10" });
    await expect(result(putGraph())).rejects.toMatchObject({ status: 502, requestId: "r10" });
  });

  it("tells of a lost session, but not when signing in fails", async () => {
    const lost = vi.fn();
    onUnauthenticated(lost);
    answer(401, { detail: "Sign in.", code: "unauthenticated" });
    await expect(result(api.GET("/flowcharts"))).rejects.toMatchObject({ name: "ApiError", status: 401 });
    expect(lost).toHaveBeenCalledTimes(1);
    answer(401, { detail: "Wrong password." });
    const login = api.POST("/auth/login", { body: { email: "a@b", password: "x" } });
    await expect(result(login)).rejects.toBeInstanceOf(ApiError);
    expect(lost).toHaveBeenCalledTimes(1);
  });

  it("says that the server cannot be reached", async () => {
    vi.stubGlobal("fetch", vi.fn().mockRejectedValue(new TypeError("failed")));
    await expect(result(api.GET("/flowcharts"))).rejects.toMatchObject({
      status: 0,
      reason: "network.unreachable",
    });
  });

  it("says that something else answered", async () => {
    const html = new Response("<html>Sign in to the network</html>", { status: 200 });
    vi.stubGlobal("fetch", vi.fn().mockResolvedValue(html));
    await expect(result(api.GET("/flowcharts"))).rejects.toMatchObject({ reason: "network.unreadable" });
  });

  it("takes an empty answer", async () => {
    vi.stubGlobal("fetch", vi.fn().mockResolvedValue(new Response(null, { status: 204 })));
    const gone = api.DELETE("/flowcharts/{id}", { params: { path: { id: 1 } } });
    await expect(result(gone)).resolves.toBeUndefined();
  });
});
