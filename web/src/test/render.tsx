// What components need around them, and a server that answers from a table.

import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import {
  createMemoryHistory,
  createRootRoute,
  createRoute,
  createRouter,
  Outlet,
  RouterProvider,
  useLocation,
} from "@tanstack/react-router";
import { render } from "@testing-library/react";
import type { ReactNode } from "react";
import { vi } from "vitest";
import { Notices } from "../ui/notices";
import { theme } from "../ui/theme";

/** Renders at the path "/"; every other path shows "elsewhere: <path>". */
export async function show(ui: ReactNode) {
  const cache = new QueryClient({
    defaultOptions: { queries: { retry: false }, mutations: { retry: false } },
  });
  const root = createRootRoute({ component: Outlet });
  const here = createRoute({ getParentRoute: () => root, path: "/", component: () => ui });
  const elsewhere = createRoute({
    getParentRoute: () => root,
    path: "$",
    component: function Elsewhere() {
      return <p>elsewhere: {useLocation().pathname}</p>;
    },
  });
  const router = createRouter({
    routeTree: root.addChildren([here, elsewhere]),
    history: createMemoryHistory({ initialEntries: ["/"] }),
  });
  await router.load();
  const view = render(
    <MantineProvider theme={theme} env="test">
      <QueryClientProvider client={cache}>
        <Notices />
        {/* Not the page's own routes, which would bring all of it. */}
        <RouterProvider router={router as never} />
      </QueryClientProvider>
    </MantineProvider>,
  );
  return { ...view, cache, router };
}

export interface Sent {
  method: string;
  path: string;
  headers: Headers;
  body: unknown;
}

type Reply = { status?: number; body?: unknown; etag?: string };

/** Answers the page's requests: "METHOD /path" to a reply; what is not listed is a 404. */
export function serve(replies: Record<string, Reply | ((sent: Sent) => Reply)>): Sent[] {
  const sent: Sent[] = [];
  vi.stubGlobal("fetch", async (request: Request) => {
    const url = new URL(request.url);
    const text = await request.clone().text();
    const one: Sent = {
      method: request.method,
      path: url.pathname.replace(/^\/api/, ""),
      headers: request.headers,
      body: text === "" ? undefined : JSON.parse(text),
    };
    sent.push(one);
    const found = replies[`${one.method} ${one.path}`] ?? { status: 404, body: { detail: `no ${one.path}` } };
    const { status = 200, body, etag } = typeof found === "function" ? found(one) : found;
    return new Response(status === 204 ? null : JSON.stringify(body ?? {}), {
      status,
      headers: { "content-type": "application/json", ...(etag && { etag }) },
    });
  });
  return sent;
}
