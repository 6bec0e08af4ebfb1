import { ActionIcon, Button, Tooltip } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import {
  IconArchive,
  IconArchiveOff,
  IconMessagePlus,
  IconPencil,
  IconSearch,
  IconTrash,
} from "@tabler/icons-react";
import { keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { type KeyboardEvent, type Ref, useState } from "react";
import type { Thread } from "../../../api/aliases";
import { ErrorNotice, Lines } from "../../../ui/feedback";
import { SegmentedControl, TextInput } from "../../../ui/inputs";
import { LinkButton } from "../../../ui/link-button";
import { StatusIcon } from "../../../ui/status";
import { Ago } from "../../../ui/time";
import { searchQuery, threadListQuery } from "../api";
import { useThreadActions } from "../use-thread-actions";
import classes from "./thread-rail.module.css";

export type RailStatus = "active" | "archived";

function Rename({ thread, onDone }: { thread: Thread; onDone: (title: string | null) => void }) {
  const [title, setTitle] = useState(thread.title);
  const onKeyDown = (e: KeyboardEvent) => {
    if (e.key === "Escape") {
      e.stopPropagation();
      onDone(null);
    }
    if (e.key === "Enter") onDone(title.trim());
  };
  return (
    <TextInput
      autoFocus
      size="xs"
      aria-label="Title"
      maxLength={200}
      value={title}
      onChange={(e) => setTitle(e.currentTarget.value)}
      onKeyDown={onKeyDown}
      onFocus={(e) => e.currentTarget.select()}
      onBlur={() => onDone(title.trim())}
    />
  );
}

interface RowProps {
  thread: Thread;
  actions: ReturnType<typeof useThreadActions>;
}

function Row({ thread, actions }: RowProps) {
  const [renaming, setRenaming] = useState(false);
  if (renaming) {
    return (
      <li className={classes.renaming}>
        <Rename
          thread={thread}
          onDone={(title) => {
            setRenaming(false);
            if (title && title !== thread.title) actions.rename.mutate({ id: thread.id, title });
          }}
        />
      </li>
    );
  }
  const archived = thread.status === "archived";
  return (
    <li className={classes.row}>
      <Link
        to="/threads/$threadId"
        params={{ threadId: String(thread.id) }}
        search={({ m: _, ...s }) => s}
        activeProps={{ "data-active": true, "aria-current": "page" }}
        className={classes.link}
      >
        <span className={classes.title}>{thread.title}</span>
        <span className={classes.sub}>
          {thread.busy && <StatusIcon status="running" size={12} />}
          <Ago at={thread.last_activity_at} />
        </span>
      </Link>
      <span className={classes.actions}>
        <Tooltip label="Rename">
          <ActionIcon size="sm" aria-label={`Rename ${thread.title}`} onClick={() => setRenaming(true)}>
            <IconPencil size={14} />
          </ActionIcon>
        </Tooltip>
        <Tooltip label={archived ? "Restore" : "Archive"}>
          <ActionIcon
            size="sm"
            aria-label={`${archived ? "Restore" : "Archive"} ${thread.title}`}
            onClick={() => (archived ? actions.restore.mutate(thread.id) : actions.archive.mutate(thread))}
          >
            {archived ? <IconArchiveOff size={14} /> : <IconArchive size={14} />}
          </ActionIcon>
        </Tooltip>
        <Tooltip label="Delete">
          <ActionIcon
            size="sm"
            aria-label={`Delete ${thread.title}`}
            onClick={() => actions.remove.mutate(thread)}
          >
            <IconTrash size={14} />
          </ActionIcon>
        </Tooltip>
      </span>
    </li>
  );
}

interface ListedProps {
  status: RailStatus | "";
  q: string;
  actions: ReturnType<typeof useThreadActions>;
}

function Listed({ status, q, actions }: ListedProps) {
  const list = useInfiniteQuery({ ...threadListQuery(status, q), placeholderData: keepPreviousData });
  const gone = actions.remove.isPending ? actions.remove.variables?.id : undefined;
  const threads = (list.data?.pages.flatMap((p) => p.items) ?? []).filter((t) => t.id !== gone);
  if (list.isError) return <ErrorNotice error={list.error} onRetry={() => void list.refetch()} />;
  if (list.isPending) return <Lines n={8} height={44} />;
  if (threads.length === 0) {
    if (q !== "") return null; // what was found in messages follows
    return (
      <p className={classes.none}>
        {status === "active" ? "Your conversations are listed here." : "Nothing is archived."}
      </p>
    );
  }
  return (
    <ul className={classes.list} aria-label={status === "archived" ? "Archived threads" : "Threads"}>
      {threads.map((thread) => (
        <Row key={thread.id} thread={thread} actions={actions} />
      ))}
      {list.hasNextPage && (
        <li className={classes.more}>
          <Button
            variant="default"
            loading={list.isFetchingNextPage}
            onClick={() => void list.fetchNextPage()}
          >
            Show more
          </Button>
        </li>
      )}
    </ul>
  );
}

function Found({ q }: { q: string }) {
  const found = useInfiniteQuery({ ...searchQuery(q), placeholderData: keepPreviousData });
  const hits = found.data?.pages.flatMap((p) => p.items) ?? [];
  if (found.isError) return <ErrorNotice error={found.error} onRetry={() => void found.refetch()} />;
  if (found.isPending) return <Lines n={5} height={60} />;
  if (hits.length === 0)
    return <p className={classes.none}>No message has these words. Try fewer, or other forms of them.</p>;
  return (
    <ul className={classes.list} aria-label="Found messages">
      {hits.map((hit) => (
        <li key={`${hit.thread_id}/${hit.message_id}`} className={classes.row}>
          <Link
            to="/threads/$threadId"
            params={{ threadId: String(hit.thread_id) }}
            search={(s) => ({ ...s, m: hit.message_id })}
            className={classes.link}
          >
            <span className={classes.title}>{hit.thread_title}</span>
            <span className={classes.snippet}>
              {hit.snippet.map((piece, i) => {
                const Piece = piece.hit ? "mark" : "span";
                // biome-ignore lint/suspicious/noArrayIndexKey: the pieces of one text, in order
                return <Piece key={i}>{piece.text}</Piece>;
              })}
            </span>
            <span className={classes.sub}>
              {hit.role === "user" ? "You" : "Answer"} · <Ago at={hit.created_at} />
            </span>
          </Link>
        </li>
      ))}
      {found.hasNextPage && (
        <li className={classes.more}>
          <Button
            variant="default"
            loading={found.isFetchingNextPage}
            onClick={() => void found.fetchNextPage()}
          >
            Show more
          </Button>
        </li>
      )}
    </ul>
  );
}

interface Props {
  status: RailStatus;
  q: string;
  onSearch: (next: { status?: RailStatus; q?: string }) => void;
  onGone?: (id: number) => void;
  field?: Ref<HTMLInputElement>;
  /** It has the page for itself. */
  whole?: boolean;
}

/** The conversations: search, the active ones or the archived, and what can be done with each. */
export function ThreadRail({ status, q, onSearch, onGone, field, whole }: Props) {
  const actions = useThreadActions(onGone);
  const [typed, setTyped] = useState(q);
  const [settled] = useDebouncedValue(typed.trim(), 200);
  return (
    <aside className={classes.rail} data-whole={whole || undefined} aria-label="Threads">
      <div className={classes.head}>
        <TextInput
          ref={field}
          size="xs"
          aria-label="Search threads"
          placeholder="Search titles and messages"
          leftSection={<IconSearch size={14} />}
          value={typed}
          onChange={(e) => {
            setTyped(e.currentTarget.value);
            onSearch({ q: e.currentTarget.value.trim() });
          }}
        />
        <Tooltip label="New thread (N)">
          <LinkButton to="/threads" search={({ m: _, ...s }) => s} px={8} aria-label="New thread">
            <IconMessagePlus size={16} />
          </LinkButton>
        </Tooltip>
      </div>
      {settled.length < 2 && (
        <SegmentedControl
          size="xs"
          fullWidth
          className={classes.which}
          aria-label="Which threads"
          value={status}
          onChange={(value) => onSearch({ status: value === "archived" ? "archived" : "active" })}
          data={[
            { value: "active", label: "Active" },
            { value: "archived", label: "Archived" },
          ]}
        />
      )}
      <div className={classes.scroll}>
        {settled.length >= 2 ? (
          <>
            <Listed status="" q={settled} actions={actions} />
            <h2 className={classes.group}>In messages</h2>
            <Found q={settled} />
          </>
        ) : (
          <Listed status={status} q="" actions={actions} />
        )}
      </div>
    </aside>
  );
}
