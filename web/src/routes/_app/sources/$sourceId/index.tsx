import { createFileRoute, notFound, useNavigate } from "@tanstack/react-router";
import type { JournalFilter } from "../../../../features/sources/api";
import { ShownRun } from "../../../../features/sources/components/run-panel";
import { SourceFrame } from "../../../../features/sources/components/source-frame";
import { SourceKeys } from "../../../../features/sources/components/source-keys";

interface Search extends JournalFilter {
  /** Another run than the newest. */
  run?: number;
}

const states = ["pending", "done", "failed"] as const;
const actions = ["add", "change", "remove"] as const;

export const Route = createFileRoute("/_app/sources/$sourceId/")({
  validateSearch: (search): Search => {
    const run = Number(search.run);
    const status = states.find((s) => s === search.status);
    const action = actions.find((a) => a === search.action);
    const q = typeof search.q === "string" ? search.q.slice(0, 1_000) : "";
    return {
      ...(Number.isInteger(run) && run > 0 && { run }),
      ...(status && { status }),
      ...(action && { action }),
      ...(q && { q }),
    };
  },
  beforeLoad: ({ params }) => {
    if (!/^[1-9]\d{0,15}$/.test(params.sourceId)) throw notFound();
  },
  component: SourcePage,
});

function SourcePage() {
  const { user } = Route.useRouteContext();
  const id = Number(Route.useParams().sourceId);
  const { run, ...filter } = Route.useSearch();
  const navigate = useNavigate({ from: Route.fullPath });
  const writes = user.role !== "viewer";
  return (
    <SourceFrame id={id} writes={writes}>
      {(source, does) => (
        <>
          <SourceKeys />
          <ShownRun
            source={source}
            wanted={run}
            filter={filter}
            actions={writes ? does : null}
            onFilter={(next) =>
              void navigate({
                search: { ...(run !== undefined && { run }), ...next },
                replace: true,
                resetScroll: false,
              })
            }
          />
        </>
      )}
    </SourceFrame>
  );
}
