import { Button } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconPencil, IconPlayerPlayFilled } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { createFileRoute, Link, notFound } from "@tanstack/react-router";
import { type LoadedSchedule, scheduleQuery } from "../../../features/schedules/api";
import { Firings } from "../../../features/schedules/components/firings";
import { ScheduleDialog } from "../../../features/schedules/components/schedule-dialog";
import { Next, useScheduleActions } from "../../../features/schedules/components/schedule-table";
import classes from "../../../features/schedules/schedules.module.css";
import { useFlowchartChoices } from "../../../features/schedules/use-choices";
import { ErrorNotice, Lines } from "../../../ui/feedback";
import { duration } from "../../../ui/format";
import { Switch } from "../../../ui/inputs";
import { JsonView } from "../../../ui/json-view";
import { LinkButton } from "../../../ui/link-button";
import { PageFrame } from "../../../ui/page";

export const Route = createFileRoute("/_app/schedules/$scheduleId")({
  beforeLoad: ({ params }) => {
    if (!/^[1-9]\d{0,15}$/.test(params.scheduleId)) throw notFound();
  },
  component: SchedulePage,
});

function Facts({ schedule: s }: { schedule: LoadedSchedule }) {
  return (
    <dl className={classes.facts}>
      <dt>Starts</dt>
      <dd>
        {s.rag_source_id !== null ? (
          <Link to="/sources/$sourceId" params={{ sourceId: String(s.rag_source_id) }}>
            {s.rag_source_name || `Source ${s.rag_source_id}`}
          </Link>
        ) : (
          <Link to="/flowcharts/$flowchartId" params={{ flowchartId: String(s.flowchart_id) }}>
            {s.flowchart_name}
          </Link>
        )}
        {s.rag_source_id !== null
          ? `, a ${s.mode ?? "delta"} index run of it`
          : s.flowchart_deleted
            ? ", which is deleted"
            : ", its newest version that runs"}
      </dd>
      <dt>When</dt>
      <dd>
        {s.description}
        {s.cron && (
          <>
            {" "}
            (<span className={classes.cron}>{s.cron}</span>, {s.time_zone})
          </>
        )}
        {s.jitter_seconds > 0 && `, spread over ${duration(s.jitter_seconds * 1_000)}`}
      </dd>
      <dt>Next</dt>
      <dd>
        <Next schedule={s} />
      </dd>
      <dt>Missed times</dt>
      <dd>
        {s.missed_policy === "skip" ? "are left out" : `are run late, the newest ${s.catch_up_limit} at most`}
      </dd>
      <dt>While its last run still runs</dt>
      <dd>{s.overlap_policy === "skip" ? "it leaves its time out" : "it starts another one beside it"}</dd>
      {s.rag_source_id === null && (
        <>
          <dt>Input</dt>
          <dd>
            <JsonView value={s.input} empty="None" />
          </dd>
        </>
      )}
    </dl>
  );
}

function SchedulePage() {
  const id = Number(Route.useParams().scheduleId);
  const schedule = useQuery(scheduleQuery(id));
  const actions = useScheduleActions();
  const [editing, dialog] = useDisclosure(false);
  const choices = useFlowchartChoices(schedule.data?.flowchart_id || undefined);
  const s = schedule.data;
  return (
    <PageFrame
      title={s?.name ?? `Schedule ${id}`}
      crumbs={[{ label: "Schedules", to: "/schedules" }, { label: s?.name ?? `Schedule ${id}` }]}
      actions={
        s &&
        s.deleted_at === null && (
          <>
            <Switch
              label={s.enabled ? "On" : "Off"}
              checked={s.enabled}
              disabled={actions.toggle.isPending}
              onChange={() => actions.toggle.mutate(s)}
            />
            {s.rag_source_id !== null ? (
              <LinkButton
                to="/sources/$sourceId/settings"
                params={{ sourceId: String(s.rag_source_id) }}
                variant="default"
                leftSection={<IconPencil size={15} />}
              >
                Change at the source
              </LinkButton>
            ) : (
              <>
                {s.every_seconds === null && (
                  <Button variant="default" leftSection={<IconPencil size={15} />} onClick={dialog.open}>
                    Change
                  </Button>
                )}
                <Button
                  leftSection={<IconPlayerPlayFilled size={13} />}
                  loading={actions.fire.isPending}
                  onClick={() => actions.fire.mutate(s)}
                >
                  Run now
                </Button>
              </>
            )}
          </>
        )
      }
    >
      {schedule.isError && <ErrorNotice error={schedule.error} onRetry={() => void schedule.refetch()} />}
      {schedule.isPending && <Lines n={5} />}
      {s?.deleted_at && (
        <div role="status" className={classes.trouble}>
          This schedule is deleted. It fires no more.
        </div>
      )}
      {s && <Facts schedule={s} />}
      {s && (
        <div className={classes.after}>
          <Firings id={id} />
        </div>
      )}
      {s && editing && <ScheduleDialog schedule={s} flowcharts={choices} onClose={dialog.close} />}
    </PageFrame>
  );
}
