import "@fontsource-variable/inter/wght.css";
import "@fontsource-variable/jetbrains-mono/wght.css";
import "./ui/mantine.css";
import "./ui/tokens.css";
import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { createRouter, RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { ApiError, onUnauthenticated } from "./api/client";
import { config } from "./config";
import { meQuery } from "./features/auth/api";
import { routeTree } from "./routeTree.gen";
import { Notices } from "./ui/notices";
import { RouteError, RouteMissing } from "./ui/route-error";
import { cssVariables, theme } from "./ui/theme";

const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 5_000,
      // What the server refuses, it refuses again.
      retry: (failures, error) =>
        failures < 2 && !(error instanceof ApiError && error.status >= 400 && error.status < 500),
      refetchOnWindowFocus: false,
    },
  },
});

const router = createRouter({
  routeTree,
  basepath: config.basePath,
  context: { queryClient },
  defaultPreload: "intent",
  defaultPreloadStaleTime: 0,
  scrollRestoration: true,
  scrollToTopSelectors: ["#page-scroll"],
  defaultErrorComponent: RouteError,
  defaultNotFoundComponent: RouteMissing,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}

onUnauthenticated(() => {
  queryClient.setQueryData(meQuery.queryKey, null);
  void router.invalidate();
});

const root = document.getElementById("root");
if (root) {
  createRoot(root).render(
    <StrictMode>
      <MantineProvider theme={theme} cssVariablesResolver={cssVariables} defaultColorScheme="auto">
        <QueryClientProvider client={queryClient}>
          <Notices />
          <RouterProvider router={router} />
        </QueryClientProvider>
      </MantineProvider>
    </StrictMode>,
  );
}
