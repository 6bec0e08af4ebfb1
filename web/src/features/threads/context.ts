// What the messages of one conversation can do, so that each of thousands does not
// carry it along.

import { createContext, useContext } from "react";
import type { Message } from "../../api/aliases";
import type { LiveTexts } from "./live";

export interface Conversation {
  live: LiveTexts;
  /** Of the settings, for what things cost. */
  currency: string;
  /** Why nothing can be changed at the moment; null when it can. */
  locked: string | null;
  /** Something is under way that makes versions. */
  busy: boolean;
  /** The message that is being edited. */
  editing: number | null;
  edit: (message: Message | null) => void;
  resend: (message: Message, text: string) => Promise<unknown>;
  regenerate: (message: Message) => void;
  showVersion: (id: number) => void;
  attachmentAddress: (id: number) => string;
  /** Decides on a tool call that waits. */
  decide: (recordId: number, approve: boolean) => void;
  deciding: boolean;
  /** What was decided here, by record; a turn that waits for another call says nothing of it. */
  decided: ReadonlyMap<number, boolean>;
}

export const ConversationContext = createContext<Conversation | null>(null);

export function useConversation(): Conversation {
  const conversation = useContext(ConversationContext);
  if (!conversation) throw new Error("a message is shown outside of a conversation");
  return conversation;
}
