import { Button } from "@mantine/core";
import { IconCheck, IconPlayerPause, IconPlayerPlay, IconPlayerStop } from "@tabler/icons-react";
import { lazy, Suspense, useState } from "react";
import type { IndexRun } from "../../../api/aliases";
import { isFinal, todoOf } from "../model";
import type { SourceActions } from "../use-source-actions";

// Opened rarely.
const Confirm = lazy(async () => ({ default: (await import("../../../ui/confirm")).Confirm }));

/** What can be ordered of a run that has not ended. */
export function RunActions({ run, actions }: { run: IndexRun; actions: SourceActions }) {
  const [asking, setAsking] = useState(false);
  if (isFinal(run)) return null;
  const { order } = actions;
  const pending = order.isPending && order.variables.run === run.id ? order.variables.what : null;
  const give = (what: "apply" | "pause" | "resume") => order.mutate({ run: run.id, what });
  return (
    <>
      {run.status === "planned" && (
        <Button
          leftSection={<IconCheck size={15} />}
          loading={pending === "apply"}
          onClick={() => give("apply")}
        >
          Apply plan
        </Button>
      )}
      {run.status === "paused" && (
        <Button
          leftSection={<IconPlayerPlay size={15} />}
          loading={pending === "resume"}
          onClick={() => give("resume")}
        >
          Resume
        </Button>
      )}
      {(run.status === "indexing" || run.status === "syncing" || run.status === "planning") && (
        <Button
          variant="default"
          leftSection={<IconPlayerPause size={15} />}
          loading={pending === "pause"}
          disabled={run.pause_requested}
          onClick={() => give("pause")}
        >
          {run.pause_requested ? "Pausing" : "Pause"}
        </Button>
      )}
      <Button variant="default" leftSection={<IconPlayerStop size={15} />} onClick={() => setAsking(true)}>
        Cancel
      </Button>
      {asking && (
        <Suspense>
          <Confirm
            title={`Cancel the indexing of ${run.source_name}?`}
            action="Cancel the run"
            keep="Let it go on"
            run={() => order.mutateAsync({ run: run.id, what: "cancel" })}
            onClose={() => setAsking(false)}
          >
            {run.counts.done > 0 && todoOf(run.counts) > 0
              ? "What it has done so far is given up. "
              : "Nothing was done yet. "}
            Searches go on with the index as it was before.
          </Confirm>
        </Suspense>
      )}
    </>
  );
}
