import { createFileRoute, notFound } from "@tanstack/react-router";
import { RunHistory } from "../../../../features/sources/components/run-history";
import { SourceFrame } from "../../../../features/sources/components/source-frame";

export const Route = createFileRoute("/_app/sources/$sourceId/history")({
  beforeLoad: ({ params }) => {
    if (!/^[1-9]\d{0,15}$/.test(params.sourceId)) throw notFound();
  },
  component: HistoryPage,
});

function HistoryPage() {
  const { user } = Route.useRouteContext();
  const id = Number(Route.useParams().sourceId);
  return (
    <SourceFrame id={id} writes={user.role !== "viewer"}>
      {() => <RunHistory source={id} />}
    </SourceFrame>
  );
}
