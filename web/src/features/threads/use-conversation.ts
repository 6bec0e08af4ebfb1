import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useCallback } from "react";
import type { Turn } from "../../api/aliases";
import { notifyError } from "../../ui/notices";
import {
  cancelTurn,
  fetchNewer,
  fetchOlder,
  type PostTurn,
  postTurn,
  regenerateTurn,
  showVersion,
  threadKeys,
} from "./api";
import { type ConversationData, extend, prepend } from "./conversation";

/** What changes a conversation. The answers' events bring what comes of it; nobody waits for them. */
export function useConversationActions(id: number, around: number) {
  const cache = useQueryClient();
  const key = threadKeys.conversationAt(id, around);
  const reload = useCallback(
    () => cache.invalidateQueries({ queryKey: threadKeys.conversation(id) }),
    [cache, id],
  );
  const send = useMutation({ mutationFn: (body: PostTurn) => postTurn(id, body), onSuccess: reload });
  const regenerate = useMutation({
    mutationFn: (turnId: number) => regenerateTurn(id, turnId),
    onSuccess: reload,
    onError: (e) => notifyError("It was not regenerated", e),
  });
  const stop = useMutation({
    mutationFn: (turn: Turn) => cancelTurn(id, turn.id),
    onSuccess: reload,
    onError: (e) => notifyError("It was not stopped", e),
  });
  const show = useMutation({
    mutationFn: (messageId: number) => showVersion(id, messageId),
    onSuccess: reload,
    onError: (e) => notifyError("The other version cannot be shown", e),
  });
  const older = useMutation({
    mutationFn: async (at: { cursor: string; turnsCursor: string | null }) => {
      const page = await fetchOlder(id, at.cursor, at.turnsCursor);
      cache.setQueryData<ConversationData>(key, (d) => d && prepend(d, page));
    },
  });
  const newer = useMutation({
    mutationFn: async (at: { cursor: string; turnsCursor: string | null }) => {
      const page = await fetchNewer(id, at.cursor, at.turnsCursor);
      cache.setQueryData<ConversationData>(key, (d) => d && extend(d, page));
    },
  });
  return { send, regenerate, stop, show, older, newer };
}
