import { Button } from "@mantine/core";
import { IconUserCheck } from "@tabler/icons-react";
import { useInfiniteQuery, useMutation, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import type { ToolCall } from "../../../api/aliases";
import { Empty, ErrorNotice, Lines } from "../../../ui/feedback";
import { TextInput } from "../../../ui/inputs";
import { notifyError } from "../../../ui/notices";
import { Ago } from "../../../ui/time";
import { approvalsQuery, approveCall, denyCall, toolKeys } from "../../tools/api";
import { ToolCard } from "../../tools/tool-card";
import classes from "./mcp.module.css";

function Owner({ call }: { call: ToolCall }) {
  if (call.owner_kind === "turn")
    return (
      <span>
        In a thread:{" "}
        {call.thread_id === null ? (
          call.owner_title || `turn ${call.owner_id}`
        ) : (
          <Link to="/threads/$threadId" params={{ threadId: String(call.thread_id) }}>
            {call.owner_title || `thread ${call.thread_id}`}
          </Link>
        )}
      </span>
    );
  const title = call.owner_title || call.flowchart_node_id || `node run ${call.owner_id}`;
  if (call.flowchart_run_id === null)
    return (
      <span>
        Quick node:{" "}
        <Link to="/nodes/$nodeId" params={{ nodeId: String(call.owner_id) }}>
          {title}
        </Link>
      </span>
    );
  return (
    <span>
      {title} in{" "}
      <Link
        to="/runs/$runId"
        params={{ runId: String(call.flowchart_run_id) }}
        search={{ node: call.owner_id }}
      >
        run {call.flowchart_run_id}
      </Link>
    </span>
  );
}

function Approval({ call }: { call: ToolCall }) {
  const cache = useQueryClient();
  const [note, setNote] = useState("");
  const decide = useMutation({
    mutationFn: (approve: boolean) => (approve ? approveCall : denyCall)(call.id, note.trim()),
    onError: (e) => notifyError("It was not decided", e),
    onSettled: () => cache.invalidateQueries({ queryKey: toolKeys.approvals }),
  });
  return (
    <li className={classes.approval}>
      <div className={classes.approvalHead}>
        <Owner call={call} />
        <span>
          Asked <Ago at={call.created_at} />
        </span>
        {call.repeatable && <span>The tool says that it only reads or may be repeated</span>}
      </div>
      <ToolCard
        call={{
          name: call.tool || call.name,
          server: call.server_key,
          status: call.status,
          arguments: call.arguments,
          from: null,
        }}
        decide={{
          busy: decide.isPending,
          onApprove: () => decide.mutate(true),
          onDeny: () => decide.mutate(false),
        }}
      >
        <TextInput
          size="xs"
          label="Note"
          description="Kept with the call. When you deny it, the model is told."
          maxLength={1000}
          value={note}
          onChange={(e) => setNote(e.currentTarget.value)}
        />
      </ToolCard>
    </li>
  );
}

/** Everything that waits for somebody's yes or no. */
export function Approvals() {
  const list = useInfiniteQuery(approvalsQuery);
  const calls = list.data?.pages.flatMap((p) => p.items) ?? [];
  if (list.isError) return <ErrorNotice error={list.error} onRetry={() => void list.refetch()} />;
  if (list.isPending) return <Lines n={3} height={120} />;
  if (calls.length === 0)
    return (
      <Empty icon={IconUserCheck} title="Nothing waits for you">
        Tools of an MCP server can be set to ask first. Their calls wait here, with what the model wants to
        do, until somebody approves or denies them. Waiting costs nothing: no worker is held.
      </Empty>
    );
  return (
    <>
      <ul className={classes.approvals} aria-label="Calls that wait">
        {calls.map((call) => (
          <Approval key={call.id} call={call} />
        ))}
      </ul>
      {list.hasNextPage && (
        <Button variant="default" loading={list.isFetchingNextPage} onClick={() => void list.fetchNextPage()}>
          Show more
        </Button>
      )}
    </>
  );
}
