import { IconActivity, IconPlus } from "@tabler/icons-react";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { createFileRoute, Link } from "@tanstack/react-router";
import { flowchartListQuery } from "../../features/flowcharts/api";
import { modelsQuery, providersQuery } from "../../features/models/api";
import { FirstSteps } from "../../features/overview/first-steps";
import { NeedsYou, RunStrip, Tiles } from "../../features/overview/glance";
import { runListQuery } from "../../features/runs/api";
import { RunTable } from "../../features/runs/components/run-table";
import { workersQuery } from "../../features/settings/api";
import { Empty, ErrorNotice, Lines } from "../../ui/feedback";
import { LinkButton } from "../../ui/link-button";
import { PageFrame, Section } from "../../ui/page";

export const Route = createFileRoute("/_app/")({ component: Overview });

function Overview() {
  const runs = useInfiniteQuery(runListQuery({}, 50));
  const providers = useQuery(providersQuery);
  const models = useQuery(modelsQuery);
  const workers = useQuery(workersQuery);
  const flowcharts = useInfiniteQuery(flowchartListQuery(""));
  const recent = runs.data?.pages[0]?.items ?? [];
  const steps = {
    provider: providers.data && providers.data.length > 0,
    model: models.data && models.data.length > 0,
    flowchart: flowcharts.data && (flowcharts.data.pages[0]?.items.length ?? 0) > 0,
    run: runs.data && recent.length > 0,
  };
  const known = Object.values(steps).every((s) => s !== undefined);
  const done = Object.values(steps).every(Boolean);
  return (
    <PageFrame
      title="Overview"
      actions={
        <LinkButton to="/flowcharts" search={{ new: true }} leftSection={<IconPlus size={15} />}>
          New flowchart
        </LinkButton>
      }
    >
      {known && !done && <FirstSteps steps={steps} />}
      <Tiles runs={recent} workers={workers.data} />
      <NeedsYou runs={recent} workers={workers.data} />
      {recent.length > 0 && <RunStrip runs={recent} />}
      <Section title="Recent runs" actions={recent.length > 0 && <Link to="/runs">All runs</Link>}>
        {runs.isError && <ErrorNotice error={runs.error} onRetry={() => void runs.refetch()} />}
        {runs.isPending && <Lines n={6} />}
        {runs.isSuccess && recent.length === 0 && (
          <Empty icon={IconActivity} title="No runs yet">
            Runs of your flowcharts appear here as they happen.
          </Empty>
        )}
        {recent.length > 0 && <RunTable items={recent.slice(0, 12)} />}
      </Section>
    </PageFrame>
  );
}
