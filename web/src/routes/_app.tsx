import { useQueryClient } from "@tanstack/react-query";
import { createFileRoute, Outlet, redirect, useRouter } from "@tanstack/react-router";
import { useCallback } from "react";
import { meQuery } from "../features/auth/api";
import { RealtimeProvider } from "../realtime/provider";
import { Shell } from "../ui/shell";

export const Route = createFileRoute("/_app")({
  beforeLoad: async ({ context, location }) => {
    const me = await context.queryClient.ensureQueryData(meQuery);
    if (!me) throw redirect({ to: "/sign-in", search: { to: location.href } });
    return { user: me.user };
  },
  component: App,
});

function App() {
  const cache = useQueryClient();
  const router = useRouter();
  const onSignedOut = useCallback(() => {
    void cache.invalidateQueries({ queryKey: meQuery.queryKey }).then(() => router.invalidate());
  }, [cache, router]);
  return (
    <RealtimeProvider onSignedOut={onSignedOut}>
      <Shell>
        <Outlet />
      </Shell>
    </RealtimeProvider>
  );
}
