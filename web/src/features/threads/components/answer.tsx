import { Button, Tooltip } from "@mantine/core";
import { IconAlertCircle, IconRefresh } from "@tabler/icons-react";
import { memo, useMemo, useSyncExternalStore } from "react";
import type { Message, Turn } from "../../../api/aliases";
import { count, duration } from "../../../ui/format";
import { StatusIcon } from "../../../ui/status";
import { Elapsed, useNow } from "../../../ui/time";
import { useConversation } from "../context";
import {
  isFinalTurn,
  money,
  nextStep,
  partsOfLive,
  progressOf,
  restartOf,
  retryOf,
  shownParts,
  untilRetry,
} from "../model";
import { Citations, Cited } from "./citations";
import classes from "./message.module.css";
import { Pieces } from "./pieces";

/** Says that what is read begins again, and why. */
function Restarted({ turn }: { turn: Turn }) {
  const why = restartOf(turn);
  if (why === null) return null;
  return (
    <p className={classes.restarted} role="status">
      <IconRefresh size={14} aria-hidden />
      {why}
    </p>
  );
}

/** Counts down by itself: nothing else is made again for it. */
function Busy({ at, error }: { at: string; error: Turn["error"] }) {
  const now = useNow();
  return (
    <p className={classes.progress} role="status" title={error?.message}>
      <StatusIcon status="waiting" size={15} />
      The provider is busy; {/* The seconds are not read out one by one. */}
      <span aria-live="off">{untilRetry(at, now)}</span>
    </p>
  );
}

function Progress({ turn, begun }: { turn: Turn; begun: boolean }) {
  if (begun && turn.status === "running") return null;
  const retryAt = retryOf(turn);
  if (retryAt !== null) return <Busy at={retryAt} error={turn.error} />;
  return (
    <p className={classes.progress} role="status">
      <StatusIcon status={turn.status} size={15} />
      {progressOf(turn)}
      <span>
        <Elapsed from={turn.started_at ?? turn.created_at} to={null} />
      </span>
    </p>
  );
}

/** An answer while it is being written. */
function LiveAnswer({ turn }: { turn: Turn }) {
  const { live } = useConversation();
  const text = useSyncExternalStore(
    (changed) => live.subscribe(turn.id, changed),
    () => live.get(turn.id),
  );
  const current = text.attempt >= turn.attempt;
  const { pieces, citations } = useMemo(() => shownParts(current ? partsOfLive(text) : []), [text, current]);
  const begun = pieces.length > 0;
  return (
    <>
      <Restarted turn={turn} />
      <Cited items={citations}>
        <Pieces pieces={pieces} open turn={turn} />
      </Cited>
      <Progress turn={turn} begun={begun} />
      <Citations items={citations} pieces={pieces} />
    </>
  );
}

function Failed({ turn, message }: { turn: Turn; message: Message }) {
  const { regenerate, locked } = useConversation();
  const step = nextStep(turn);
  return (
    <div className={classes.failed} role="alert">
      <IconAlertCircle size={17} aria-hidden />
      <div>
        {turn.error?.message ?? "The answer failed."}
        {step && <span> {step}</span>}
        {turn.reason_code && <code>{turn.reason_code}</code>}
      </div>
      <Button
        variant="default"
        leftSection={<IconRefresh size={14} />}
        disabled={locked !== null}
        onClick={() => regenerate(message)}
      >
        Try again
      </Button>
    </div>
  );
}

function Cut({ turn }: { turn: Turn | null }) {
  if (turn?.status === "cancelled")
    return (
      <p className={classes.cut}>
        Stopped.{" "}
        {turn.usage.output_tokens > 0 &&
          `${count(turn.usage.output_tokens)} tokens had been written and are billed${turn.usage.estimated ? " (an estimate)" : ""}.`}
      </p>
    );
  if (turn?.finish_reason === "length")
    return <p className={classes.cut}>It ends here because the model reached its most tokens.</p>;
  return null;
}

/** An answer as it is stored. */
function StoredAnswer({ message, turn }: { message: Message; turn: Turn | null }) {
  const { pieces, citations } = useMemo(() => shownParts(message.parts), [message.parts]);
  return (
    <>
      <Cited items={citations}>
        <Pieces pieces={pieces} open={false} turn={turn} />
      </Cited>
      {turn?.status === "failed" && <Failed turn={turn} message={message} />}
      <Cut turn={turn} />
      <Citations items={citations} pieces={pieces} />
    </>
  );
}

export const Answer = memo(function Answer({ message, turn }: { message: Message; turn: Turn | null }) {
  if (message.status === "pending" && turn && !isFinalTurn(turn.status)) return <LiveAnswer turn={turn} />;
  return <StoredAnswer message={message} turn={turn} />;
});

/** What an answer took: model, time, tokens, money. */
export function TurnFacts({ turn }: { turn: Turn }) {
  const { currency } = useConversation();
  const { usage } = turn;
  if (!turn.finished_at) return null;
  const first =
    turn.first_token_at && turn.started_at
      ? Date.parse(turn.first_token_at) - Date.parse(turn.started_at)
      : null;
  const whole = Date.parse(turn.finished_at) - Date.parse(turn.started_at ?? turn.created_at);
  const tokens = usage.input_tokens + usage.output_tokens;
  return (
    <Tooltip
      multiline
      label={
        <>
          {count(usage.input_tokens)} tokens in
          {usage.cached_tokens > 0 && `, ${count(usage.cached_tokens)} of them cached`},{" "}
          {count(usage.output_tokens)} out
          {usage.estimated && ". Estimated, since the provider did not say all of it"}
          {first !== null && `. First word after ${duration(Math.max(0, first))}`}
          {turn.attempt > 1 && `. ${turn.attempt} attempts`}
        </>
      }
    >
      <span className={classes.facts}>
        {[
          turn.model_name,
          duration(Math.max(0, whole)),
          tokens > 0 && `${usage.estimated ? "~" : ""}${count(tokens)} tokens`,
          usage.cost_micros !== null && money(usage.cost_micros, currency),
        ]
          .filter(Boolean)
          .join(" · ")}
      </span>
    </Tooltip>
  );
}
