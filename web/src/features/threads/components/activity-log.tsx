import { Button } from "@mantine/core";
import { IconHistory } from "@tabler/icons-react";
import { keepPreviousData, useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { ChatActivity } from "../../../api/aliases";
import { Empty, ErrorNotice, Lines } from "../../../ui/feedback";
import { MultiSelect, TextInput } from "../../../ui/inputs";
import { ShowMore } from "../../../ui/show-more";
import table from "../../../ui/table.module.css";
import { Ago } from "../../../ui/time";
import { activityClasses, deedOf, detailOf } from "../activity";
import type { ActivityClass } from "../activity-classes";
import { activityQuery, settingsQuery } from "../api";

interface Filter {
  thread?: number;
  class?: ActivityClass[];
  reason?: string;
}

interface Props {
  filter: Filter;
  onFilter: (next: Filter) => void;
}

function Filters({ filter, onFilter }: Props) {
  return (
    <div className={table.filters}>
      <MultiSelect
        w={340}
        aria-label="What happened"
        placeholder={filter.class ? "" : "Everything"}
        clearable
        value={filter.class ?? []}
        data={activityClasses.map(({ value, label }) => ({ value, label }))}
        onChange={(chosen) => {
          const { class: _, ...rest } = filter;
          const classes = activityClasses.map((c) => c.value).filter((c) => chosen.includes(c));
          onFilter(classes.length > 0 ? { ...rest, class: classes } : rest);
        }}
      />
      <TextInput
        w={300}
        aria-label="Reason code"
        placeholder="Reason code, whole"
        value={filter.reason ?? ""}
        onChange={(e) => {
          const { reason: _, ...rest } = filter;
          const reason = e.currentTarget.value.trim().toUpperCase();
          onFilter(reason ? { ...rest, reason } : rest);
        }}
      />
      {filter.thread !== undefined && (
        <Button
          variant="default"
          onClick={() => {
            const { thread: _, ...rest } = filter;
            onFilter(rest);
          }}
        >
          Thread {filter.thread} only ×
        </Button>
      )}
    </div>
  );
}

const gone = new Set(["deleted"]);

function Row({ entry, currency }: { entry: ChatActivity; currency: string }) {
  const detail = entry.message || detailOf(entry.detail, currency);
  return (
    <tr>
      <td className={table.muted}>
        <Ago at={entry.created_at} />
      </td>
      <td style={{ whiteSpace: "nowrap" }}>{deedOf(entry)}</td>
      <td className={table.clip} style={{ width: "28%" }} title={entry.thread_title}>
        {gone.has(entry.action) ? (
          entry.thread_title
        ) : (
          <Link
            className={table.plain}
            to="/threads/$threadId"
            params={{ threadId: String(entry.thread_id) }}
          >
            {entry.thread_title}
          </Link>
        )}
      </td>
      <td className={table.clip} style={{ width: "44%" }} title={detail}>
        {entry.reason_code && <code>{entry.reason_code} </code>}
        <span className={table.muted}>{detail}</span>
      </td>
    </tr>
  );
}

/** What happened in threads, also in those that are gone. */
export function ActivityLog({ filter, onFilter }: Props) {
  const list = useInfiniteQuery({ ...activityQuery(filter), placeholderData: keepPreviousData });
  const settings = useQuery(settingsQuery);
  const entries = list.data?.pages.flatMap((p) => p.items) ?? [];
  return (
    <>
      <Filters filter={filter} onFilter={onFilter} />
      {list.isError && <ErrorNotice error={list.error} onRetry={() => void list.refetch()} />}
      {list.isPending && <Lines n={8} />}
      {list.data && entries.length === 0 && (
        <Empty icon={IconHistory} title="Nothing of that happened">
          What people and models do in threads is noted here: messages and answers, tools and sources, folded
          messages, and failures with their reason codes.
        </Empty>
      )}
      {entries.length > 0 && (
        <table className={table.table}>
          <thead>
            <tr>
              <th>When</th>
              <th>What</th>
              <th>Thread</th>
              <th>Details</th>
            </tr>
          </thead>
          <tbody>
            {entries.map((entry) => (
              <Row key={entry.id} entry={entry} currency={settings.data?.currency ?? "USD"} />
            ))}
          </tbody>
        </table>
      )}
      <ShowMore list={list} />
    </>
  );
}
