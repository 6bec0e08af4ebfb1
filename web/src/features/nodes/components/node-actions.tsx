import { Button, Tooltip } from "@mantine/core";
import { IconPlayerStop, IconRepeat } from "@tabler/icons-react";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { type ReactNode, useState } from "react";
import type { NodeTask } from "../../../api/aliases";
import { Confirm } from "../../../ui/confirm";
import { LinkButton } from "../../../ui/link-button";
import { notifyError } from "../../../ui/notices";
import { cancelNode } from "../../runs/api";
import type { Reason } from "../../runs/control";
import { isFinalNode } from "../../runs/model";
import { retryNode } from "../api";
import { whyNotCancel, whyNotRetry } from "../model";

interface ActionProps {
  label: string;
  hint: string;
  why: Reason;
  icon: ReactNode;
  busy?: boolean;
  onClick: () => void;
}

function Action({ label, hint, why, icon, busy = false, onClick }: ActionProps) {
  return (
    <Tooltip label={why ?? hint} maw={320} multiline events={{ hover: true, focus: true, touch: true }}>
      <Button
        variant="default"
        leftSection={icon}
        loading={busy}
        {...(why !== null && { "data-disabled": true, "aria-disabled": true })}
        onClick={() => why === null && onClick()}
      >
        {label}
      </Button>
    </Tooltip>
  );
}

/** What can be done with a node run. Those of a run are handled on its page. */
export function NodeActions({ task }: { task: NodeTask }) {
  const cache = useQueryClient();
  const navigate = useNavigate();
  const [asking, setAsking] = useState(false);
  const refresh = () => cache.invalidateQueries({ queryKey: ["nodes"] });
  const retry = useMutation({
    mutationFn: () => retryNode(task.id),
    onSuccess: ({ task: next }) => {
      if (next) void navigate({ to: "/nodes/$nodeId", params: { nodeId: String(next.id) }, search: {} });
    },
    onError: (error) => notifyError("The node was not begun again", error),
    onSettled: refresh,
  });
  if (task.flowchart_run_id !== null) {
    return (
      <LinkButton
        to="/runs/$runId"
        params={{ runId: String(task.flowchart_run_id) }}
        search={{ node: task.id }}
        variant="default"
      >
        Open its run
      </LinkButton>
    );
  }
  return (
    <>
      {!isFinalNode(task.status) && (
        <Action
          label="Cancel"
          hint="Asks its worker to stop it"
          why={whyNotCancel(task)}
          icon={<IconPlayerStop size={15} />}
          onClick={() => setAsking(true)}
        />
      )}
      <Action
        label="Run again"
        hint="As a new node with the same input; this one stays as it is"
        why={whyNotRetry(task)}
        icon={<IconRepeat size={15} />}
        busy={retry.isPending}
        onClick={() => retry.mutate()}
      />
      {asking && (
        <Confirm
          title={`Cancel "${task.title}"?`}
          action="Cancel the node"
          keep="Keep it"
          run={() => cancelNode(task.id).finally(refresh)}
          onClose={() => setAsking(false)}
        >
          What it has done so far is kept in its logs, but it gives no output.
        </Confirm>
      )}
    </>
  );
}
