import { Button } from "@mantine/core";
import { useHotkeys } from "@mantine/hooks";
import { IconMessages } from "@tabler/icons-react";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import type { Message, Turn } from "../../../api/aliases";
import { Empty, ErrorNotice } from "../../../ui/feedback";
import { notifyError } from "../../../ui/notices";
import { approveCall, denyCall, turnCallsQuery } from "../../tools/api";
import { attachmentAddress, discardAttachment, liveTexts, uploadAttachment } from "../api";
import { type Conversation, ConversationContext } from "../context";
import { type ConversationData, decisionsOf, openTurns, turnsByAnswer } from "../conversation";
import { useDraft } from "../draft";
import { takeOver } from "../handoff";
import { type SendFile, useUploads } from "../uploads";
import { useConversationActions } from "../use-conversation";
import { Uploads } from "./attachments";
import { Composer } from "./composer";
import { ContextLine } from "./context-line";
import classes from "./conversation.module.css";
import { MessageView } from "./message-view";
import { QueueStrip } from "./queue-strip";
import { Transcript } from "./transcript";

const keyOf = (m: Message): string => String(m.id);

interface Props {
  data: ConversationData;
  /** The message that is looked at; 0: the newest. */
  around: number;
  onNewest: () => void;
  onContext: () => void;
}

function useConversationContext(
  data: ConversationData,
  actions: ReturnType<typeof useConversationActions>,
): Conversation {
  const [editing, setEditing] = useState<number | null>(null);
  const [own, setDecided] = useState<ReadonlyMap<number, boolean>>(new Map());
  const waiting = data.turns.find((t) => t.status === "waiting");
  const calls = useQuery({ ...turnCallsQuery(waiting?.id ?? 0), enabled: waiting !== undefined });
  const decided = useMemo(() => decisionsOf(calls.data ?? [], own), [calls.data, own]);
  const decision = useMutation({
    mutationFn: ({ recordId, approve }: { recordId: number; approve: boolean }) =>
      approve ? approveCall(recordId, "") : denyCall(recordId, ""),
    onSuccess: (_, { recordId, approve }) => setDecided((was) => new Map(was).set(recordId, approve)),
    onError: (e) => notifyError("It was not decided", e),
  });
  const { send, regenerate, show } = actions;
  const busy = openTurns(data.turns).length > 0;
  const archived = data.thread.status === "archived";
  const { currency } = data;
  const { mutateAsync: post } = send;
  const { mutate: again } = regenerate;
  const { mutate: showOther, isPending: showing } = show;
  const { mutate: decide, isPending: deciding } = decision;
  return useMemo(
    () => ({
      live: liveTexts,
      currency,
      locked: archived ? "The thread is archived. Restore it to go on." : null,
      busy: busy || showing,
      editing,
      edit: (m) => setEditing(m?.id ?? null),
      resend: (m, message) => post({ message, edit_of: m.id }),
      regenerate: (m) => m.turn_id !== null && again(m.turn_id),
      showVersion: (id) => showOther(id),
      attachmentAddress,
      decide: (recordId, approve) => decide({ recordId, approve }),
      deciding,
      decided,
    }),
    [currency, archived, busy, showing, editing, post, again, showOther, decide, deciding, decided],
  );
}

/** The keys that act on the last messages. */
function useMessageKeys(data: ConversationData, conversation: Conversation): void {
  const last = (role: Message["role"]) => data.messages.findLast((m) => m.role === role);
  const version = (step: number) => {
    const of = data.messages.findLast((m) => (m.siblings?.ids.length ?? 0) > 1);
    const id = of?.siblings?.ids[of.siblings.index + step];
    if (id !== undefined && !conversation.busy) conversation.showVersion(id);
  };
  useHotkeys([
    ["e", () => conversation.locked === null && conversation.edit(last("user") ?? null)],
    [
      "r",
      () => {
        const answer = last("assistant");
        if (answer && answer.status !== "pending" && conversation.locked === null)
          conversation.regenerate(answer);
      },
    ],
    ["[", () => version(-1)],
    ["]", () => version(1)],
  ]);
}

/** The conversation of a thread, and where one writes. */
export function ConversationPane({ data, around, onNewest, onContext }: Props) {
  const id = data.thread.id;
  const actions = useConversationActions(id, around);
  const conversation = useConversationContext(data, actions);
  const turns = useMemo(() => turnsByAnswer(data.turns), [data.turns]);
  const open = useMemo(() => openTurns(data.turns), [data.turns]);
  const first = open[0];
  const { older, newer, stop } = actions;
  const { turnsCursor } = data;
  const loadOlder = (again = false) => {
    if (data.older === null || older.isPending || (older.isError && !again)) return;
    older.mutate({ cursor: data.older, turnsCursor });
  };
  const loadNewer = () => data.newer !== null && newer.mutate({ cursor: data.newer, turnsCursor });
  const [sent, setSent] = useState(0);
  const onSent = () => {
    if (data.newer !== null) onNewest();
    else setSent((n) => n + 1);
  };
  useMessageKeys(data, conversation);
  const onEscape = () => {
    // What is open above the conversation comes first.
    if (document.querySelector("[role=dialog], [role=listbox]") || conversation.editing !== null) return;
    if (first && first.status !== "cancelling") stop.mutate(first);
  };
  useHotkeys([["Escape", onEscape]], []);
  return (
    <ConversationContext.Provider value={conversation}>
      <div className={classes.pane}>
        {data.messages.length === 0 ? (
          <div className={classes.empty}>
            <Empty icon={IconMessages} title="Nothing is said yet">
              Write below. The answer goes on when you leave the page or lose the network, and is here when
              you come back.
            </Empty>
          </div>
        ) : (
          <Transcript
            key={`${id}/${around}`}
            label={data.thread.title}
            items={data.messages}
            keyOf={keyOf}
            toEnd={sent}
            bounded={data.newer !== null}
            live={first?.status === "running"}
            onStart={() => loadOlder()}
            startAt={around > 0 ? data.messages.findIndex((m) => m.id === around) : undefined}
            head={<Ends busy={older.isPending} error={older.error} onRetry={() => loadOlder(true)} />}
          >
            {(m) => <MessageView message={m} turn={turns.get(m.id) ?? null} />}
          </Transcript>
        )}
        {data.newer !== null && (
          <div className={classes.past}>
            <span>You look at an older place of this thread.</span>
            <Button variant="default" loading={newer.isPending} onClick={loadNewer}>
              Show what follows
            </Button>
            <Button onClick={onNewest}>Go to the newest</Button>
          </div>
        )}
        <Writing data={data} actions={actions} open={open} onContext={onContext} onSent={onSent} />
      </div>
    </ConversationContext.Provider>
  );
}

function Ends({ busy, error, onRetry }: { busy: boolean; error: unknown; onRetry: () => void }) {
  if (error)
    return (
      <div className={classes.ends}>
        <ErrorNotice error={error} onRetry={onRetry} />
      </div>
    );
  return busy ? (
    <p className={classes.ends} role="status">
      Loading older messages
    </p>
  ) : null;
}

interface WritingProps {
  data: ConversationData;
  actions: ReturnType<typeof useConversationActions>;
  open: Turn[];
  onContext: () => void;
  onSent: () => void;
}

const accept =
  "text/*,.md,.json,.csv,.yaml,.yml,.toml,.log,.pdf,.docx,.pptx,.xlsx,image/png,image/jpeg,image/gif,image/webp";

function Writing({ data, actions, open, onContext, onSent }: WritingProps) {
  const { id, status } = data.thread;
  const [text, setText] = useDraft(id);
  const field = useRef<HTMLTextAreaElement>(null);
  const sendFile = useCallback<SendFile>(
    (file, signal, onProgress) => uploadAttachment(id, file, signal, onProgress),
    [id],
  );
  const discard = useCallback((a: { id: number }) => void discardAttachment(a.id).catch(() => {}), []);
  const uploads = useUploads(sendFile, discard);
  const { add } = uploads;
  // Files that were dropped before there was a thread. Once, also where effects run twice.
  useEffect(() => {
    const files = takeOver(id);
    if (files.length > 0) add(files);
  }, [id, add]);
  const { send, stop } = actions;
  const first = open[0];
  useHotkeys([["/", () => field.current?.focus()]]);
  const why =
    status === "archived"
      ? "The thread is archived. Restore it to go on."
      : uploads.sending
        ? "Files are still being sent."
        : send.isPending
          ? "Sending."
          : null;
  const submit = () => {
    const message = text.trim();
    send.mutate(
      { message, ...(uploads.ids.length > 0 && { attachment_ids: uploads.ids }) },
      {
        onSuccess: () => {
          setText("");
          uploads.clear();
          onSent();
        },
      },
    );
  };
  return (
    <div className={classes.writing}>
      <div className={classes.column}>
        {send.error && <ErrorNotice error={send.error} />}
        <QueueStrip open={open} messages={data.messages} onCancel={(turn) => stop.mutate(turn)} />
        <Composer
          field={field}
          value={text}
          onChange={(next) => {
            setText(next);
            if (send.isError) send.reset();
          }}
          onSend={submit}
          attached={<Uploads items={uploads.items} onRemove={uploads.remove} />}
          hasAttachments={uploads.ids.length > 0}
          why={why}
          onFiles={status === "archived" ? undefined : uploads.add}
          accept={accept}
          onStop={first ? () => stop.mutate(first) : undefined}
          stopping={stop.isPending || first?.status === "cancelling"}
          hint={<ContextLine turns={data.turns} onOpen={onContext} />}
        />
      </div>
    </div>
  );
}
