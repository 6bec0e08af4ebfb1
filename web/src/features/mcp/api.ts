import { queryOptions } from "@tanstack/react-query";
import type { McpServer, McpTest, McpTool, Page } from "../../api/aliases";
import { api, idempotencyKey, result } from "../../api/client";
import type { components } from "../../api/generated/schema";

export const mcpKeys = {
  servers: ["mcp-servers"] as const,
  list: ["mcp-servers", "list"] as const,
  detail: (id: number) => ["mcp-servers", "detail", id] as const,
  tools: (id: number) => ["mcp-servers", "tools", id] as const,
};

const maxPages = 10;

/** Servers are few and are needed whole, for selects. */
export const mcpServersQuery = queryOptions({
  queryKey: mcpKeys.list,
  queryFn: async ({ signal }): Promise<McpServer[]> => {
    const all: McpServer[] = [];
    let cursor: string | null = "";
    for (let page = 0; page < maxPages && cursor !== null; page++) {
      const query: { limit: number; cursor: string } = { limit: 200, cursor };
      const answer: Page<McpServer> = await result(api.GET("/mcp-servers", { params: { query }, signal }));
      all.push(...answer.items);
      cursor = answer.next_cursor;
    }
    return all;
  },
});

export const mcpServerQuery = (id: number) =>
  queryOptions({
    queryKey: mcpKeys.detail(id),
    queryFn: ({ signal }) => result(api.GET("/mcp-servers/{id}", { params: { path: { id } }, signal })),
  });

/** Asks the server itself, so it may take a while or fail. */
export const mcpToolsQuery = (id: number) =>
  queryOptions({
    queryKey: mcpKeys.tools(id),
    queryFn: async ({ signal }): Promise<McpTool[]> =>
      (await result(api.GET("/mcp-servers/{id}/tools", { params: { path: { id } }, signal }))).items,
    staleTime: 60_000,
    retry: false,
  });

export type ServerDraft = components["schemas"]["CreateMCPServerInputBody"];
export type ServerChange = components["schemas"]["UpdateMCPServerInputBody"];

export const createServer = (body: ServerDraft): Promise<McpServer> =>
  result(api.POST("/mcp-servers", { params: { header: idempotencyKey() }, body }));

/** The notice says what happened to the secrets, where something did. */
export const updateServer = (id: number, body: ServerChange): Promise<McpServer & { notice?: string }> =>
  result(api.PATCH("/mcp-servers/{id}", { params: { path: { id } }, body }));

export const deleteServer = (id: number): Promise<void> =>
  result(api.DELETE("/mcp-servers/{id}", { params: { path: { id } } }));

export const testServer = (id: number): Promise<McpTest> =>
  result(api.POST("/mcp-servers/{id}/test", { params: { path: { id } } }));

/** Where the browser goes to authorize; it comes back to the list of servers. */
export const startOAuth = async (id: number): Promise<string> =>
  (await result(api.POST("/mcp-servers/{id}/oauth/start", { params: { path: { id } } }))).authorization_url;

export const forgetOAuth = (id: number): Promise<void> =>
  result(api.DELETE("/mcp-servers/{id}/oauth", { params: { path: { id } } }));
