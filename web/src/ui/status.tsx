import {
  IconAlertTriangle,
  IconBan,
  IconCircle,
  IconCircleCheck,
  IconCircleDashed,
  IconCircleX,
  IconClock,
  IconHistory,
  IconHourglass,
  IconLoader2,
  IconPlayerPause,
  type TablerIcon,
} from "@tabler/icons-react";
import classes from "./status.module.css";

interface Look {
  label: string;
  color: string;
  icon: TablerIcon;
  moving?: boolean;
}

const looks: Record<string, Look> = {
  pending: { label: "Pending", color: "var(--st-queued)", icon: IconCircleDashed },
  queued: { label: "Queued", color: "var(--st-queued)", icon: IconClock },
  planning: { label: "Planning", color: "var(--st-running)", icon: IconLoader2, moving: true },
  downloading: { label: "Downloading", color: "var(--st-running)", icon: IconLoader2, moving: true },
  verifying: { label: "Verifying", color: "var(--st-running)", icon: IconLoader2, moving: true },
  running: { label: "Running", color: "var(--st-running)", icon: IconLoader2, moving: true },
  waiting: { label: "Waiting", color: "var(--st-waiting)", icon: IconHourglass },
  pausing: { label: "Pausing", color: "var(--st-waiting)", icon: IconPlayerPause, moving: true },
  paused: { label: "Paused", color: "var(--st-waiting)", icon: IconPlayerPause },
  cancelling: { label: "Cancelling", color: "var(--st-cancelled)", icon: IconBan, moving: true },
  succeeded: { label: "Succeeded", color: "var(--st-succeeded)", icon: IconCircleCheck },
  degraded: { label: "Degraded", color: "var(--st-degraded)", icon: IconAlertTriangle },
  held: { label: "Held", color: "var(--st-waiting)", icon: IconPlayerPause },
  reused: { label: "Reused", color: "var(--st-cached)", icon: IconHistory },
  failed: { label: "Failed", color: "var(--st-failed)", icon: IconCircleX },
  cancelled: { label: "Cancelled", color: "var(--st-cancelled)", icon: IconBan },
  skipped: { label: "Skipped", color: "var(--st-skipped)", icon: IconCircle },
};

const unknown: Look = { label: "Unknown", color: "var(--st-muted)", icon: IconCircleDashed };

export const lookOf = (status: string): Look =>
  looks[status] ?? { ...unknown, label: status || unknown.label };

export function StatusIcon({ status, size = 16 }: { status: string; size?: number }) {
  const look = lookOf(status);
  const Icon = look.icon;
  return (
    <Icon
      size={size}
      stroke={2}
      color={look.color}
      className={look.moving ? classes.moving : undefined}
      aria-label={look.label}
      role="img"
    />
  );
}

export function Status({ status }: { status: string }) {
  const look = lookOf(status);
  return (
    <span className={classes.status} style={{ color: look.color }}>
      <span aria-hidden className={classes.icon}>
        <StatusIcon status={status} size={15} />
      </span>
      {look.label}
    </span>
  );
}
