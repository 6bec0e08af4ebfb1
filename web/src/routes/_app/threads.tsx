import { useHotkeys, useMediaQuery } from "@mantine/hooks";
import { createFileRoute, Outlet, useNavigate, useParams } from "@tanstack/react-router";
import { lazy, Suspense, useRef, useState } from "react";
import { type RailStatus, ThreadRail } from "../../features/threads/components/thread-rail";
import classes from "../../features/threads/threads.module.css";

const ThreadKeys = lazy(async () => ({
  default: (await import("../../features/threads/components/thread-keys")).ThreadKeys,
}));

export interface ThreadsSearch {
  /** The rail's list, where it is not that of the active ones. */
  list?: "archived";
  /** What is searched for. */
  q?: string;
  /** The message that is looked at. */
  m?: number;
  /** What belongs to the thread is shown. */
  about?: true;
}

export const Route = createFileRoute("/_app/threads")({
  validateSearch: (search): ThreadsSearch => {
    const m = Number(search.m);
    return {
      ...(search.list === "archived" && { list: "archived" }),
      ...(typeof search.q === "string" && search.q !== "" && { q: search.q.slice(0, 200) }),
      ...(Number.isInteger(m) && m > 0 && { m }),
      ...(search.about === true && { about: true }),
    };
  },
  component: Threads,
});

function Threads() {
  const { list, q = "" } = Route.useSearch();
  const status: RailStatus = list ?? "active";
  const { threadId } = useParams({ strict: false });
  const navigate = useNavigate();
  const narrow = useMediaQuery("(max-width: 1023px)", false, { getInitialValueInEffect: false });
  const field = useRef<HTMLInputElement>(null);
  const [keys, setKeys] = useState(false);
  useHotkeys([
    ["n", () => void navigate({ to: "/threads" })],
    ["s", () => field.current?.focus()],
    ["shift+?", () => setKeys(true)],
  ]);
  const rail = (
    <ThreadRail
      field={field}
      status={status}
      q={q}
      whole={narrow}
      onSearch={(next) =>
        void navigate({
          to: ".",
          search: ({ list: _, q: __, ...rest }) => {
            const which = next.status ?? status;
            const words = next.q ?? q;
            return { ...rest, ...(which === "archived" && { list: which }), ...(words && { q: words }) };
          },
          replace: true,
        })
      }
      onGone={(id) => {
        if (String(id) === threadId) void navigate({ to: "/threads" });
      }}
    />
  );
  return (
    <div className={classes.layout} data-narrow={narrow || undefined}>
      {!narrow && rail}
      <div className={classes.main}>
        <Outlet />
      </div>
      {narrow && threadId === undefined && <div className={classes.below}>{rail}</div>}
      {keys && (
        <Suspense>
          <ThreadKeys onClose={() => setKeys(false)} />
        </Suspense>
      )}
    </div>
  );
}
