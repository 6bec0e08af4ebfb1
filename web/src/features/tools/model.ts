// How a tool call looks. Pure.

interface CallLook {
  /** The state of ui/status whose icon it has. */
  status: string;
  label: string;
  color: string;
}

const looks: Record<string, CallLook> = {
  pending: { status: "queued", label: "Next", color: "var(--st-queued)" },
  waiting: { status: "waiting", label: "Needs approval", color: "var(--st-waiting)" },
  approved: { status: "queued", label: "Approved", color: "var(--st-queued)" },
  running: { status: "running", label: "Running", color: "var(--st-running)" },
  succeeded: { status: "succeeded", label: "Done", color: "var(--st-succeeded)" },
  failed: { status: "failed", label: "Failed", color: "var(--st-failed)" },
  denied: { status: "cancelled", label: "Denied", color: "var(--st-cancelled)" },
  unknown: { status: "degraded", label: "Outcome unknown", color: "var(--st-degraded)" },
  cancelled: { status: "cancelled", label: "Cancelled", color: "var(--st-cancelled)" },
};

export const lookOfCall = (status: string): CallLook =>
  looks[status] ?? { status, label: status, color: "var(--st-muted)" };

const open = new Set(["pending", "waiting", "approved", "running"]);
export const isOpenCall = (status: string): boolean => open.has(status);

export interface CallProgress {
  /** Of 1; null: nobody knows of how much. */
  share: number | null;
  text: string;
}

/** How far a call is, from the server's line about it: "3", "1 of 4", "1 of 4: reading". */
export function callProgress(line: string): CallProgress {
  const [, done, total, text] = /^([\d.e+-]+)(?: of ([\d.e+-]+))?(?:: (.*))?$/s.exec(line) ?? [];
  const share = total === undefined ? Number.NaN : Number(done) / Number(total);
  return {
    share: Number.isFinite(share) ? Math.min(1, Math.max(0, share)) : null,
    text: text ?? line,
  };
}

/** JSON set out over lines; what is not JSON stays as it is. */
export function prettyJson(text: string): string | null {
  if (text.trim() === "") return null;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
