import { ActionIcon, Button, Tooltip } from "@mantine/core";
import { IconDownload, IconX } from "@tabler/icons-react";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { type ReactNode, useState } from "react";
import type { Thread } from "../../../api/aliases";
import { Confirm } from "../../../ui/confirm";
import { count } from "../../../ui/format";
import { notifyError } from "../../../ui/notices";
import { exportAddress, settingsQuery, threadKeys, threadUsageQuery, updateThread } from "../api";
import type { ConversationData } from "../conversation";
import { latestContext, money } from "../model";
import type { useThreadActions } from "../use-thread-actions";
import { ChoiceFields, type Choices } from "./choice-fields";
import { ContextTable } from "./context-meter";
import classes from "./side-panel.module.css";

function Part({ title, about, children }: { title: string; about?: string; children: ReactNode }) {
  return (
    <section className={classes.part}>
      <h2>{title}</h2>
      {about && <p>{about}</p>}
      {children}
    </section>
  );
}

function Session({ thread }: { thread: Thread }) {
  const cache = useQueryClient();
  const save = useMutation({
    mutationFn: (change: Partial<Choices>) =>
      updateThread(thread.id, {
        ...("model_id" in change && { model_id: change.model_id ?? null }),
        ...(change.response_complexity && { response_complexity: change.response_complexity }),
        ...(change.mcp_server_ids && { mcp_server_ids: change.mcp_server_ids }),
        ...(change.source_ids && { source_ids: change.source_ids }),
      }),
    onError: (e) => notifyError("The choice was not saved", e),
    onSettled: () => cache.invalidateQueries({ queryKey: threadKeys.conversation(thread.id) }),
  });
  const shown: Choices = { ...thread, ...(save.isPending ? save.variables : {}) };
  return (
    <Part
      title="Session"
      about="These belong to the thread, not to single messages, so that every answer can be understood from what is shown here. A change counts from the next message on."
    >
      <div className={classes.fields}>
        <ChoiceFields
          value={shown}
          disabled={thread.status === "archived" || save.isPending}
          onChange={(change) => save.mutate(change)}
        />
      </div>
    </Part>
  );
}

function Usage({ thread }: { thread: Thread }) {
  const usage = useQuery(threadUsageQuery(thread.id));
  const settings = useQuery(settingsQuery);
  const currency = usage.data?.currency ?? settings.data?.currency ?? "USD";
  const rows = usage.data?.models ?? [];
  const unpriced = rows.filter((r) => r.unpriced > 0).map((r) => r.model_name);
  return (
    <Part title="Usage">
      {rows.length === 0 ? (
        <p>Nothing yet.</p>
      ) : (
        <table className={classes.usage}>
          <thead>
            <tr>
              <th>Model</th>
              <th>Turns</th>
              <th>In</th>
              <th>Out</th>
              <th>Cost</th>
            </tr>
          </thead>
          <tbody>
            {rows.map((r) => (
              <tr key={r.model_name}>
                <td title={r.model_name}>{r.model_name || "–"}</td>
                <td>{r.turns}</td>
                <td>{count(r.input_tokens)}</td>
                <td>{count(r.output_tokens)}</td>
                <td>{r.unpriced < r.turns ? money(r.cost_micros, currency) : "–"}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {unpriced.length > 0 && (
        <p>
          No price is set for {unpriced.join(", ")}. <Link to="/settings">Set prices</Link>
        </p>
      )}
    </Part>
  );
}

interface Props {
  data: ConversationData;
  actions: ReturnType<typeof useThreadActions>;
  onClose: () => void;
}

function Keep({ thread, actions }: { thread: Thread; actions: Props["actions"] }) {
  const [asking, setAsking] = useState(false);
  const archived = thread.status === "archived";
  return (
    <Part title="Thread">
      <div className={classes.buttons}>
        {(["markdown", "json"] as const).map((format) => (
          <Button
            key={format}
            component="a"
            href={exportAddress(thread.id, format)}
            download
            variant="default"
            leftSection={<IconDownload size={14} />}
          >
            {format === "json" ? "JSON" : "Markdown"}
          </Button>
        ))}
        <Button
          variant="default"
          onClick={() => (archived ? actions.restore.mutate(thread.id) : actions.archive.mutate(thread))}
        >
          {archived ? "Restore" : "Archive"}
        </Button>
        <Button variant="default" disabled={thread.message_count === 0} onClick={() => setAsking(true)}>
          Clear
        </Button>
        <Button variant="default" onClick={() => actions.remove.mutate(thread)}>
          Delete
        </Button>
      </div>
      <p>
        <Link to="/threads/activity" search={{ thread: thread.id }}>
          What happened in this thread
        </Link>
      </p>
      {asking && (
        <Confirm
          title={`Clear “${thread.title}”?`}
          action="Clear the thread"
          onClose={() => setAsking(false)}
          run={() => actions.clear(thread)}
        >
          All {thread.message_count} messages of it are removed, in all versions, with their attachments and
          summaries. Its choices stay, and what it used stays counted. This cannot be undone.
        </Confirm>
      )}
    </Part>
  );
}

/** What belongs to a thread besides its messages. */
export function SidePanel({ data, actions, onClose }: Props) {
  const context = latestContext(data.turns);
  return (
    <aside className={classes.panel} aria-label="About this thread">
      <div className={classes.head}>
        <b>About this thread</b>
        <Tooltip label="Close">
          <ActionIcon aria-label="Close" onClick={onClose}>
            <IconX size={16} />
          </ActionIcon>
        </Tooltip>
      </div>
      <Session thread={data.thread} />
      <Part
        title="Context"
        about={
          context
            ? `The window of ${context.model_name} at the newest answer, by estimate${context.measured_input_tokens === null ? "" : `; the provider counted ${count(context.measured_input_tokens)}`}.`
            : "Shown after the first answer: what the model's window is filled with."
        }
      >
        {context && <ContextTable context={context} />}
        {context && context.folded_messages > 0 && (
          <p>
            {context.folded_messages} messages are in it as a summary, {context.messages} as they are.
            {context.dropped_messages > 0 && ` ${context.dropped_messages} do not fit and are left out.`}
          </p>
        )}
      </Part>
      <Usage thread={data.thread} />
      <Keep thread={data.thread} actions={actions} />
    </aside>
  );
}
