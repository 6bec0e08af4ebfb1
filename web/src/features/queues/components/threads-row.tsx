import { Tooltip } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import type { ThreadsQueue } from "../../../api/aliases";
import { count } from "../../../ui/format";
import table from "../../../ui/table.module.css";
import { seconds } from "../model";
import classes from "../queues.module.css";
import { lookOfThreads, waitsOf } from "../threads-look";
import { Flow, Look, Times } from "./queue-table";

/** The turns of threads beside the queues: they have slots of their own, and nobody pauses them. */
export function ThreadsRow({ threads, manages }: { threads: ThreadsQueue; manages: boolean }) {
  const hint = threads.no_consumer
    ? "Messages wait for their answers and no worker takes them. Start one that takes the queue llmctl_studio."
    : "";
  return (
    <tr className={table.row}>
      <td>
        <Link to="/threads" className={table.link}>
          Threads
        </Link>
        <div className={`${table.sub} ${classes.name}`}>answers, in slots of their own</div>
      </td>
      <td>
        <Look look={lookOfThreads(threads)} hint={hint} />
      </td>
      <td className={table.number}>
        {count(threads.waiting)}
        {threads.waiting_seconds !== null && (
          <div className={table.sub}>oldest {seconds(Math.round(threads.waiting_seconds))}</div>
        )}
        {waitsOf(threads).map((line) => (
          <div key={line} className={table.sub}>
            {line}
          </div>
        ))}
        {threads.needs_approval > 0 && (
          <Tooltip label="They hold no worker and go on when somebody decides">
            <div className={table.sub}>
              <Link to="/approvals" className={table.above}>
                {count(threads.needs_approval)} for approval
              </Link>
            </div>
          </Tooltip>
        )}
      </td>
      <td className={table.number}>
        {count(threads.running)}
        <div className={table.sub}>
          {threads.consumers === 0
            ? "no worker"
            : `${count(threads.consumers)} worker${threads.consumers === 1 ? "" : "s"}`}
        </div>
      </td>
      <td className={classes.flow}>
        <Flow name="Threads" of={threads} />
      </td>
      <td className={classes.roomy}>
        <Times what="Waiting" times={threads.waited} />
      </td>
      <td className={classes.roomy}>
        <Times what="Running" times={threads.took} />
      </td>
      <td className={`${table.number} ${table.muted}`}>–</td>
      {manages && <td />}
    </tr>
  );
}
