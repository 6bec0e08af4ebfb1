import { Button, Tooltip } from "@mantine/core";
import { useHotkeys } from "@mantine/hooks";
import { IconPlayerPause, IconPlayerPlay, IconPlayerStop, IconRepeat } from "@tabler/icons-react";
import { Link } from "@tanstack/react-router";
import { lazy, type ReactNode, Suspense, useState } from "react";
import type { RunDetail } from "../../../api/aliases";
import { type Reason, whyNotCancel, whyNotPause, whyNotResume, whyNotRetry } from "../control";
import { isFinalRun } from "../final";
import { isHeld } from "../model";
import type { RunControl } from "../use-control";
import classes from "./panel.module.css";

// Opened rarely.
const Confirm = lazy(async () => ({ default: (await import("../../../ui/confirm")).Confirm }));

interface ActionProps {
  label: string;
  hint: string;
  why: Reason;
  icon: ReactNode;
  busy?: boolean;
  primary?: boolean;
  onClick: () => void;
}

/** A button that says why it does nothing, also to those who reach it by keyboard. */
function Action({ label, hint, why, icon, busy, primary, onClick }: ActionProps) {
  return (
    <Tooltip label={why ?? hint} maw={320} multiline events={{ hover: true, focus: true, touch: true }}>
      <Button
        variant={primary ? "filled" : "default"}
        leftSection={icon}
        loading={busy ?? false}
        {...(why !== null && { "data-disabled": true, "aria-disabled": true })}
        onClick={() => why === null && onClick()}
      >
        {label}
      </Button>
    </Tooltip>
  );
}

function Links({ detail }: { detail: RunDetail }) {
  const run = detail.flowchart_run;
  const to = (id: number) => (
    <Link key={id} to="/runs/$runId" params={{ runId: String(id) }} className={classes.link}>
      #{id}
    </Link>
  );
  const later = (run.retried_by ?? []).slice(0, 3);
  return (
    <>
      {run.retry_of !== null && (
        <span className={classes.fact}>
          {run.retry_from !== null ? "Continues" : "Retry of"} {to(run.retry_of)}
        </span>
      )}
      {later.length > 0 && (
        <span className={classes.links}>
          Retried as {later.map(to)}
          {(run.retried_by?.length ?? 0) > later.length && "…"}
        </span>
      )}
    </>
  );
}

export function RunActions({ detail, control }: { detail: RunDetail; control: RunControl }) {
  const run = detail.flowchart_run;
  const [asking, setAsking] = useState(false);
  const held = isHeld(run.status);
  const running = detail.node_runs.filter((n) => n.status === "running").length;
  const turn = () => {
    if (held && whyNotResume(run) === null) control.resume.mutate();
    if (!held && whyNotPause(run) === null) control.pause.mutate();
  };
  useHotkeys([["p", turn]]);
  return (
    <>
      <Links detail={detail} />
      {!isFinalRun(run.status) &&
        (held ? (
          <Action
            label="Resume"
            hint="Go on with what is held (P)"
            why={whyNotResume(run)}
            icon={<IconPlayerPlay size={15} />}
            busy={control.resume.isPending}
            primary
            onClick={turn}
          />
        ) : (
          <Action
            label="Pause"
            hint="What runs ends by itself, nothing else begins (P)"
            why={whyNotPause(run)}
            icon={<IconPlayerPause size={15} />}
            busy={control.pause.isPending}
            onClick={turn}
          />
        ))}
      {!isFinalRun(run.status) && (
        <Action
          label="Cancel"
          hint="Stop everything of this run"
          why={whyNotCancel(run)}
          icon={<IconPlayerStop size={15} />}
          onClick={() => setAsking(true)}
        />
      )}
      <Action
        label="Retry"
        hint="Run the whole flowchart again on the same input"
        why={whyNotRetry(run)}
        icon={<IconRepeat size={15} />}
        busy={control.retry.isPending}
        primary={isFinalRun(run.status)}
        onClick={() => control.retry.mutate({})}
      />
      {asking && (
        <Suspense>
          <Confirm
            title={`Cancel run ${run.id}?`}
            action="Cancel the run"
            keep="Keep it"
            run={control.cancel}
            onClose={() => setAsking(false)}
          >
            {running > 0
              ? `${running === 1 ? "One node runs and is" : `${running} nodes run and are`} stopped. `
              : "Nothing of it runs at the moment. "}
            A cancelled run does not go on, but it can be retried from any of its nodes with the results that
            it has.
          </Confirm>
        </Suspense>
      )}
    </>
  );
}
