import { useQuery } from "@tanstack/react-query";
import { createFileRoute, notFound } from "@tanstack/react-router";
import { flowchartQuery, graphQuery } from "../../../features/flowcharts/api";
import { Editor } from "../../../features/flowcharts/components/editor";
import { useOpenGraph } from "../../../features/flowcharts/use-editing";
import { ErrorNotice, Lines } from "../../../ui/feedback";
import { PageFrame } from "../../../ui/page";

export const Route = createFileRoute("/_app/flowcharts/$flowchartId")({
  beforeLoad: ({ params }) => {
    if (!/^[1-9]\d{0,15}$/.test(params.flowchartId)) throw notFound();
  },
  component: FlowchartPage,
});

function FlowchartPage() {
  const id = Number(Route.useParams().flowchartId);
  const flowchart = useQuery(flowchartQuery(id));
  const graph = useQuery(graphQuery(id));
  const open = useOpenGraph(id, graph.data);
  const error = flowchart.error ?? graph.error;
  if (flowchart.data && graph.data && open) return <Editor key={id} flowchart={flowchart.data} />;
  return (
    <PageFrame
      title="Flowchart"
      crumbs={[
        { label: "Flowcharts", to: "/flowcharts" },
        { label: flowchart.data?.name ?? `Flowchart ${id}` },
      ]}
    >
      {error ? (
        <ErrorNotice error={error} onRetry={() => void Promise.all([flowchart.refetch(), graph.refetch()])} />
      ) : (
        <Lines n={6} height={64} />
      )}
    </PageFrame>
  );
}
