import { Tooltip } from "@mantine/core";
import { IconAlertTriangle, IconPlayerPause } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { queuesQuery } from "../api";
import classes from "../queues.module.css";

/** The queue that the nodes of runs go through. */
const runsQueue = "llmctl_studio";

/** Says on a run's page why its queued nodes do not begin, if it is not that others are before them. */
export function QueueHold({ queued }: { queued: boolean }) {
  const queues = useQuery({ ...queuesQuery, enabled: queued });
  const queue = queues.data?.items.find((q) => q.name === runsQueue);
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
