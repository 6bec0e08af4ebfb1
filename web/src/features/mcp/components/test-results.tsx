import { IconCircleCheck, IconCircleX } from "@tabler/icons-react";
import type { McpTest } from "../../../api/aliases";
import { Ago } from "../../../ui/time";
import { resultsOf } from "../model";
import classes from "./mcp.module.css";

function Mark({ ok }: { ok: boolean | null }) {
  if (ok === null) return null;
  return ok ? (
    <IconCircleCheck size={15} color="var(--st-succeeded)" aria-label="Good" role="img" />
  ) : (
    <IconCircleX size={15} color="var(--st-failed)" aria-label="Failed" role="img" />
  );
}

/** What the last test of a server found, step by step. */
export function TestResults({ test }: { test: McpTest | null }) {
  if (!test)
    return (
      <p className={classes.quiet}>Nobody has tested it yet. A test connects, and asks for the tools.</p>
    );
  return (
    <div className={classes.test} role="status">
      <p className={classes.verdict} data-ok={test.ok || undefined}>
        {test.message}{" "}
        <small>
          <Ago at={test.tested_at} />
        </small>
      </p>
      <dl className={classes.results}>
        {resultsOf(test).map((r) => (
          <div key={r.label}>
            <dt>{r.label}</dt>
            <dd>
              <Mark ok={r.ok} />
              {r.value}
            </dd>
          </div>
        ))}
      </dl>
      {test.instructions && (
        <details className={classes.instructions}>
          <summary>What the server says about its use</summary>
          <p>{test.instructions}</p>
        </details>
      )}
    </div>
  );
}
