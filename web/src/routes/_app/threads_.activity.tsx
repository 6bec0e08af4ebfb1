import { createFileRoute, useNavigate } from "@tanstack/react-router";
import { type ActivityClass, activityClassNames } from "../../features/threads/activity-classes";
import { ActivityLog } from "../../features/threads/components/activity-log";
import { PageFrame } from "../../ui/page";

interface Search {
  thread?: number;
  class?: ActivityClass[];
  reason?: string;
}

export const Route = createFileRoute("/_app/threads_/activity")({
  validateSearch: (search): Search => {
    const thread = Number(search.thread);
    const wanted = (Array.isArray(search.class) ? search.class : [search.class]).map(String);
    const chosen = activityClassNames.filter((c) => wanted.includes(c));
    return {
      ...(Number.isInteger(thread) && thread > 0 && { thread }),
      ...(chosen.length > 0 && { class: chosen }),
      ...(typeof search.reason === "string" && search.reason && { reason: search.reason.slice(0, 100) }),
    };
  },
  component: Activity,
});

function Activity() {
  const search = Route.useSearch();
  const navigate = useNavigate({ from: Route.fullPath });
  return (
    <PageFrame
      title="Activity of threads"
      crumbs={[{ label: "Threads", to: "/threads" }, { label: "Activity" }]}
    >
      <ActivityLog filter={search} onFilter={(next) => void navigate({ search: next, replace: true })} />
    </PageFrame>
  );
}
