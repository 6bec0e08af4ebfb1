import { ActionIcon, Tooltip } from "@mantine/core";
import { IconClock, IconX } from "@tabler/icons-react";
import type { Message, Turn } from "../../../api/aliases";
import classes from "./conversation.module.css";

interface Props {
  open: Turn[];
  messages: readonly Message[];
  onCancel: (turn: Turn) => void;
}

/** The messages that wait for the answers before theirs. */
export function QueueStrip({ open, messages, onCancel }: Props) {
  const waiting = open.slice(1);
  if (waiting.length === 0) return null;
  return (
    <ul className={classes.queue} aria-label="Messages that wait for their answers">
      {waiting.map((turn) => {
        const said = messages.find((m) => m.id === turn.user_message_id)?.content ?? "A message";
        return (
          <li key={turn.id}>
            <IconClock size={14} aria-hidden />
            <span>{said.slice(0, 200)}</span>
            <Tooltip label="Do not answer it">
              <ActionIcon size="sm" aria-label="Do not answer it" onClick={() => onCancel(turn)}>
                <IconX size={14} />
              </ActionIcon>
            </Tooltip>
          </li>
        );
      })}
    </ul>
  );
}
