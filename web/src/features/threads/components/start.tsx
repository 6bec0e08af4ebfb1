import { IconMessages } from "@tabler/icons-react";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useRef, useState } from "react";
import { ErrorNotice } from "../../../ui/feedback";
import { LinkButton } from "../../../ui/link-button";
import { notifyError } from "../../../ui/notices";
import { answeringModelsQuery } from "../../models/api";
import { createThread, postTurn, settingsQuery, threadKeys } from "../api";
import { keepDraft, useDraft } from "../draft";
import { handOver } from "../handoff";
import { ChoiceFields, type Choices } from "./choice-fields";
import { Composer } from "./composer";
import classes from "./start.module.css";

function useBegin(choices: Choices) {
  const cache = useQueryClient();
  const navigate = useNavigate();
  return useMutation({
    mutationFn: async ({ message, files }: { message: string; files: File[] }) => {
      const thread = await createThread({
        ...(choices.model_id !== null && { model_id: choices.model_id }),
        ...(choices.response_complexity && { response_complexity: choices.response_complexity }),
        mcp_server_ids: choices.mcp_server_ids,
        source_ids: choices.source_ids,
      });
      // The thread is there; what fails from here on is told on its page.
      if (files.length > 0) {
        handOver(thread.id, files);
        keepDraft(thread.id, message);
      } else {
        await postTurn(thread.id, { message }).catch((error) => {
          keepDraft(thread.id, message);
          notifyError("The message was not sent", error);
        });
      }
      return thread;
    },
    onSuccess: (thread) => {
      void cache.invalidateQueries({ queryKey: threadKeys.lists });
      void navigate({
        to: "/threads/$threadId",
        params: { threadId: String(thread.id) },
        search: ({ m: _, ...s }) => s,
      });
    },
  });
}

/** Where a conversation begins: what this is for, the choices for it, and its first message. */
export function Start() {
  const models = useQuery(answeringModelsQuery);
  const settings = useQuery(settingsQuery);
  const [text, setText] = useDraft("new");
  const [chosen, setChosen] = useState<Choices>({
    model_id: null,
    response_complexity: null,
    mcp_server_ids: [],
    source_ids: [],
  });
  const choices = {
    ...chosen,
    response_complexity: chosen.response_complexity ?? settings.data?.default_response_complexity ?? null,
  };
  const begin = useBegin(choices);
  const field = useRef<HTMLTextAreaElement>(null);
  const noModel = models.data?.length === 0;
  const go = (files: File[]) =>
    begin.mutate({ message: text.trim(), files }, { onSuccess: () => setText("") });
  return (
    <div className={classes.start}>
      <div className={classes.inner}>
        <IconMessages size={30} stroke={1.4} aria-hidden />
        <h2>Begin a thread</h2>
        <p>
          A conversation that keeps going: answers are written on the server, so you can reload, change the
          device or lose the network and go on at the very letter. Edit a message or regenerate an answer to
          try another way; all versions stay.
        </p>
        {noModel ? (
          <LinkButton to="/models">Add a model first</LinkButton>
        ) : (
          <>
            {begin.error && <ErrorNotice error={begin.error} />}
            <Composer
              field={field}
              value={text}
              onChange={setText}
              onSend={() => go([])}
              onFiles={go}
              why={begin.isPending ? "Beginning." : null}
              placeholder="Ask something"
              hint="Enter sends, Shift Enter is a new line"
            />
            <div className={classes.choices}>
              <ChoiceFields
                value={choices}
                disabled={begin.isPending}
                onChange={(change) => setChosen((c) => ({ ...c, ...change }))}
              />
            </div>
          </>
        )}
      </div>
    </div>
  );
}
