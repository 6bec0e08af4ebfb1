import { Button } from "@mantine/core";
import { IconChevronRight, IconTool } from "@tabler/icons-react";
import { type ReactNode, useState } from "react";
import { duration } from "../../ui/format";
import { JsonView } from "../../ui/json-view";
import { StatusIcon } from "../../ui/status";
import { Elapsed } from "../../ui/time";
import { callProgress, isOpenCall, lookOfCall, prettyJson } from "./model";
import classes from "./tool-card.module.css";

export interface ToolCardCall {
  name: string;
  server: string;
  status: string;
  arguments: string;
  result?: string | null;
  error?: string | null;
  /** Where the whole result is, when it is too large to be here. */
  href?: string | null;
  from?: string | null;
  to?: string | null;
  /** How long it took, where that is known instead. */
  ms?: number | null;
  /** The server's last line of how far it is, while it runs. */
  progress?: string | null;
}

interface Props {
  call: ToolCardCall;
  /** Set where somebody has to decide. */
  decide?: { busy: boolean; onApprove: () => void; onDeny: () => void } | null;
  children?: ReactNode;
}

/** One line of its arguments, for a closed card. */
function gist(args: string): string {
  const line = args.replace(/\s+/g, " ").trim();
  return line === "{}" ? "" : line;
}

function Result({ call }: { call: ToolCardCall }) {
  if (isOpenCall(call.status)) return null;
  return (
    <section>
      <div className={classes.label}>
        {call.status === "succeeded" ? "Result" : "What the model was told"}
      </div>
      <JsonView value={prettyJson(call.result ?? call.error ?? "")} empty="It gave nothing." />
      {call.href && (
        <a href={call.href} download>
          Download the whole result
        </a>
      )}
    </section>
  );
}

function Progress({ line, name }: { line: string; name: string }) {
  const { share, text } = callProgress(line);
  return (
    <div className={classes.progress}>
      <div
        role="progressbar"
        aria-label={`How far ${name} is`}
        aria-valuetext={line}
        {...(share !== null && {
          "aria-valuenow": Math.round(share * 100),
          "aria-valuemin": 0,
          "aria-valuemax": 100,
        })}
      >
        <i style={share === null ? undefined : { transform: `scaleX(${share})` }} />
      </div>
      <span>{text}</span>
    </div>
  );
}

/** A tool call of a model: closed it says what was called and how it ended, open all of it. */
export function ToolCard({ call, decide, children }: Props) {
  const look = lookOfCall(call.status);
  const [open, setOpen] = useState(false);
  const shown = open || Boolean(decide);
  return (
    <div className={classes.card} data-status={call.status}>
      <button type="button" className={classes.head} aria-expanded={shown} onClick={() => setOpen(!shown)}>
        <IconChevronRight size={14} className={classes.chevron} aria-hidden />
        <IconTool size={15} stroke={1.7} aria-hidden />
        <b>{call.name}</b>
        {call.server && <span className={classes.server}>{call.server}</span>}
        <span className={classes.gist}>{!shown && gist(call.arguments)}</span>
        <span className={classes.end}>
          {typeof call.ms === "number" && <span>{duration(call.ms)}</span>}
          {call.from && <Elapsed from={call.from} to={call.to} open={isOpenCall(call.status)} />}
          <StatusIcon status={look.status} size={15} />
          <span style={{ color: look.color }}>{look.label}</span>
        </span>
      </button>
      {call.progress && <Progress line={call.progress} name={call.name} />}
      {shown && (
        <div className={classes.body}>
          <section>
            <div className={classes.label}>Arguments</div>
            <JsonView value={prettyJson(call.arguments)} empty="None." />
          </section>
          <Result call={call} />
          {children}
        </div>
      )}
      {decide && (
        <div className={classes.decide}>
          <span>The model asks to call this. It goes on when somebody decides.</span>
          <Button variant="default" disabled={decide.busy} onClick={decide.onDeny}>
            Deny
          </Button>
          <Button loading={decide.busy} onClick={decide.onApprove}>
            Approve
          </Button>
        </div>
      )}
    </div>
  );
}
