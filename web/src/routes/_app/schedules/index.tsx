import { Button } from "@mantine/core";
import { IconCalendarClock, IconPlus } from "@tabler/icons-react";
import { keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";
import { createFileRoute } from "@tanstack/react-router";
import { scheduleListQuery } from "../../../features/schedules/api";
import { CalendarStrip } from "../../../features/schedules/components/calendar-strip";
import { ScheduleDialog } from "../../../features/schedules/components/schedule-dialog";
import { ScheduleTable } from "../../../features/schedules/components/schedule-table";
import { SystemTasks, Trouble } from "../../../features/schedules/components/system-tasks";
import classes from "../../../features/schedules/schedules.module.css";
import { useFlowchartChoices } from "../../../features/schedules/use-choices";
import { Empty, ErrorNotice, Lines } from "../../../ui/feedback";
import { Select } from "../../../ui/inputs";
import { LinkButton } from "../../../ui/link-button";
import { PageFrame } from "../../../ui/page";
import { ShowMore } from "../../../ui/show-more";
import table from "../../../ui/table.module.css";

interface Search {
  span?: "week" | undefined;
  flowchart?: number | undefined;
  new?: true | undefined;
}

export const Route = createFileRoute("/_app/schedules/")({
  validateSearch: (search): Search => {
    const flowchart = Number(search.flowchart);
    return {
      ...(search.span === "week" ? { span: "week" as const } : {}),
      ...(Number.isInteger(flowchart) && flowchart > 0 ? { flowchart } : {}),
      ...(search.new ? { new: true as const } : {}),
    };
  },
  component: Schedules,
});

function NoSchedules({ filtered, onCreate }: { filtered: boolean; onCreate: () => void }) {
  return (
    <Empty
      icon={IconCalendarClock}
      title={filtered ? "This flowchart has no schedule" : "No schedules yet"}
      action={
        <Button leftSection={<IconPlus size={15} />} onClick={onCreate}>
          New schedule
        </Button>
      }
    >
      A schedule starts a flowchart by itself: every weekday at nine, each quarter of an hour, on the first of
      the month. It follows summer time, and says what became of each of its times.
    </Empty>
  );
}

function Schedules() {
  const { span, flowchart, new: creating } = Route.useSearch();
  const navigate = Route.useNavigate();
  const list = useInfiniteQuery({ ...scheduleListQuery(flowchart), placeholderData: keepPreviousData });
  const choices = useFlowchartChoices(flowchart);
  const items = list.data?.pages.flatMap((page) => page.items) ?? [];
  const newest = list.data?.pages[0];
  const set = (change: Search) =>
    void navigate({ search: (known) => ({ ...known, ...change }), replace: true, resetScroll: false });
  const create = () => set({ new: true });
  return (
    <PageFrame
      title="Schedules"
      actions={
        <Button leftSection={<IconPlus size={15} />} onClick={create}>
          New schedule
        </Button>
      }
    >
      {creating && (
        <ScheduleDialog
          flowchartId={flowchart}
          flowcharts={choices}
          onClose={() => set({ new: undefined })}
        />
      )}
      {newest && <Trouble system={newest.system} schedulers={newest.schedulers} />}
      {(items.length > 0 || flowchart !== undefined) && (
        <div className={table.filters}>
          <Select
            w={260}
            aria-label="Flowchart"
            placeholder="Every flowchart"
            searchable
            clearable
            value={flowchart === undefined ? null : String(flowchart)}
            data={choices}
            onChange={(value) => set({ flowchart: value ? Number(value) : undefined })}
          />
        </div>
      )}
      {list.isError && <ErrorNotice error={list.error} onRetry={() => void list.refetch()} />}
      {list.isPending && <Lines n={6} />}
      {list.isSuccess && items.length === 0 && (
        <NoSchedules filtered={flowchart !== undefined} onCreate={create} />
      )}
      {items.length > 0 && <ScheduleTable items={items} />}
      <ShowMore list={list} />
      {items.length > 0 && (
        <div className={classes.after}>
          <CalendarStrip span={span ?? "day"} />
        </div>
      )}
      {newest && <SystemTasks system={newest.system} schedulers={newest.schedulers} />}
      {flowchart !== undefined && (
        <LinkButton to="/schedules" variant="subtle" size="compact-sm" mt="sm">
          All schedules
        </LinkButton>
      )}
    </PageFrame>
  );
}
