import { Tooltip } from "@mantine/core";
import { IconAlertTriangle, IconPlayerPause } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { queuesQuery } from "../api";
import classes from "../queues.module.css";

/** The queue that the nodes of runs go through. */
const runsQueue = "llmctl_studio";

/** Says on a page why what is queued there does not begin, if it is not that others are before it. */
export function QueueHold({ queued, name = runsQueue }: { queued: boolean; name?: string }) {
  const queues = useQuery({ ...queuesQuery, enabled: queued });
  const queue = queues.data?.items.find((q) => q.name === name);
  if (!queued || !queue || !(queue.paused || queue.no_consumer)) return null;
  return (
    <Tooltip label={queue.notice} disabled={queue.notice === ""} multiline maw={360}>
      <Link
        to="/queues"
        className={classes.hold}
        style={{ color: queue.paused ? "var(--st-waiting)" : "var(--st-failed)" }}
      >
        {queue.paused ? (
          <IconPlayerPause size={15} aria-hidden />
        ) : (
          <IconAlertTriangle size={15} aria-hidden />
        )}
        {queue.paused ? "Waits: the queue is paused" : "Waits: no worker takes the queue"}
      </Link>
    </Tooltip>
  );
}
