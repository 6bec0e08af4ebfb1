import { ActionIcon, Button, Tooltip } from "@mantine/core";
import { IconPencil, IconRefresh } from "@tabler/icons-react";
import { useMutation } from "@tanstack/react-query";
import { type KeyboardEvent, memo, useMemo, useState } from "react";
import type { Message, Turn } from "../../../api/aliases";
import { CopyButton, ErrorNotice } from "../../../ui/feedback";
import { Markdown } from "../../../ui/markdown/markdown";
import { Ago } from "../../../ui/time";
import { useConversation } from "../context";
import { shownParts } from "../model";
import { Answer, TurnFacts } from "./answer";
import { SentAttachments } from "./attachments";
import { BranchSwitcher } from "./branch-switcher";
import { sends } from "./composer";
import classes from "./message.module.css";

function Editor({ message }: { message: Message }) {
  const { edit, resend } = useConversation();
  const [text, setText] = useState(message.content);
  const send = useMutation({ mutationFn: () => resend(message, text.trim()), onSuccess: () => edit(null) });
  const ready = text.trim() !== "" && !send.isPending;
  const onKeyDown = (e: KeyboardEvent) => {
    if (e.key === "Escape") {
      e.stopPropagation();
      edit(null);
    }
    if (!sends(e)) return;
    e.preventDefault();
    if (ready) send.mutate();
  };
  return (
    <div className={classes.editor}>
      {send.error && <ErrorNotice error={send.error} />}
      <textarea
        // biome-ignore lint/a11y/noAutofocus: it was opened to be written in
        autoFocus
        aria-label="Edit the message"
        rows={Math.min(14, Math.max(2, text.split("\n").length))}
        value={text}
        onChange={(e) => setText(e.currentTarget.value)}
        onKeyDown={onKeyDown}
      />
      <div className={classes.editorBar}>
        <span>It becomes another version; this one stays.</span>
        <Button variant="default" onClick={() => edit(null)}>
          Cancel
        </Button>
        <Button loading={send.isPending} disabled={!ready} onClick={() => send.mutate()}>
          Send
        </Button>
      </div>
    </div>
  );
}

function Versions({ message }: { message: Message }) {
  const { showVersion, busy } = useConversation();
  const of = message.siblings;
  if (!of) return null;
  return (
    <BranchSwitcher
      index={of.index + 1}
      total={of.ids.length}
      what={message.role === "user" ? "this message" : "this answer"}
      busy={busy}
      onGo={(n) => {
        const id = of.ids[n - 1];
        if (id !== undefined) showVersion(id);
      }}
    />
  );
}

function Question({ message }: { message: Message }) {
  const { edit, editing, locked, attachmentAddress } = useConversation();
  const { attachments } = useMemo(() => shownParts(message.parts), [message.parts]);
  if (editing === message.id) return <Editor message={message} />;
  return (
    <>
      <div className={classes.bubble}>
        <SentAttachments items={attachments} addressOf={attachmentAddress} />
        {message.content && <Markdown text={message.content} />}
      </div>
      <div className={classes.bar}>
        <span className={classes.time}>
          <Ago at={message.created_at} />
        </span>
        <Versions message={message} />
        <span className={classes.tools}>
          <CopyButton text={message.content} label="Copy the message" />
          <Tooltip label={locked ?? "Edit and send again"}>
            <ActionIcon
              size="sm"
              aria-label="Edit and send again"
              disabled={locked !== null}
              onClick={() => edit(message)}
            >
              <IconPencil size={14} />
            </ActionIcon>
          </Tooltip>
        </span>
      </div>
    </>
  );
}

function Reply({ message, turn }: { message: Message; turn: Turn | null }) {
  const { regenerate, locked } = useConversation();
  return (
    <>
      <Answer message={message} turn={turn} />
      {message.status !== "pending" && (
        <div className={classes.bar}>
          <Versions message={message} />
          {turn && <TurnFacts turn={turn} />}
          <span className={classes.tools}>
            {message.content && <CopyButton text={message.content} label="Copy the answer" />}
            <Tooltip label={locked ?? "Regenerate: another answer beside this one"}>
              <ActionIcon
                size="sm"
                aria-label="Regenerate"
                disabled={locked !== null}
                onClick={() => regenerate(message)}
              >
                <IconRefresh size={14} />
              </ActionIcon>
            </Tooltip>
          </span>
        </div>
      )}
    </>
  );
}

/** A message with what can be done with it. */
export const MessageView = memo(function MessageView({
  message,
  turn,
}: {
  message: Message;
  turn: Turn | null;
}) {
  const user = message.role === "user";
  return (
    <article
      className={classes.message}
      data-role={message.role}
      data-status={message.status}
      aria-label={user ? "You" : "Answer"}
      aria-busy={message.status === "pending" || undefined}
    >
      {user ? <Question message={message} /> : <Reply message={message} turn={turn} />}
    </article>
  );
});
