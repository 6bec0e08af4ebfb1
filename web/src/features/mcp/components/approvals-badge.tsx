import { useInfiniteQuery } from "@tanstack/react-query";
import { approvalsQuery } from "../../tools/api";
import classes from "./mcp.module.css";

/** How many calls wait for a person. */
export function ApprovalsBadge({ small }: { small: boolean }) {
  const approvals = useInfiniteQuery({ ...approvalsQuery, refetchInterval: 60_000 });
  const pages = approvals.data?.pages ?? [];
  const n = pages.reduce((sum, page) => sum + page.items.length, 0);
  if (n === 0) return null;
  const text = pages.at(-1)?.next_cursor ? `${n}+` : String(n);
  return (
    <span
      className={classes.badge}
      data-small={small || undefined}
      role="status"
      aria-label={`${text} waiting`}
    >
      {!small && text}
    </span>
  );
}
