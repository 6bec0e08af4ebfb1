import { Button } from "@mantine/core";
import { IconCheck, IconX } from "@tabler/icons-react";
import { useMutation } from "@tanstack/react-query";
import type { ClusterTest } from "../../api/aliases";
import { ErrorNotice } from "../../ui/feedback";
import { testExecutor } from "./api";
import { checkName } from "./node-executor";
import own from "./node-executor.module.css";
import classes from "./settings.module.css";

function Found({ test }: { test: ClusterTest }) {
  return (
    <div className={own.found} role="status" data-ok={test.ok || undefined}>
      <b>{test.ok ? "Nodes can run there." : "Nodes cannot run there yet."}</b>
      <dl>
        <dt>Server</dt>
        <dd>{test.server || "none is configured"}</dd>
        <dt>Version</dt>
        <dd>{test.version || "not known"}</dd>
        <dt>Namespace</dt>
        <dd>{test.namespace}</dd>
        <dt>Images</dt>
        <dd>{test.images.join(", ")}</dd>
      </dl>
      <ul>
        {test.checks.map((c) => (
          <li key={c.name} data-ok={c.ok || undefined}>
            {c.ok ? <IconCheck size={15} aria-label="Passed" /> : <IconX size={15} aria-label="Failed" />}
            <div>
              {checkName(c.name)}
              {c.message && <small>{c.message}</small>}
              {c.name === "permissions" && test.missing_permissions.length > 0 && (
                <ul className={own.missing} aria-label="Missing permissions">
                  {test.missing_permissions.map((p) => (
                    <li key={p}>
                      <code>{p}</code>
                    </li>
                  ))}
                </ul>
              )}
            </div>
          </li>
        ))}
      </ul>
    </div>
  );
}

/** Asks the cluster of the stored settings; what is not saved yet is not asked about. */
export function ClusterTestPanel({ dirty }: { dirty: boolean }) {
  const test = useMutation({ mutationFn: testExecutor });
  return (
    <div className={classes.form}>
      <div className={classes.line}>
        <div>
          Test
          <small>
            {dirty
              ? "Save first: the test asks with what is stored."
              : "Asks the cluster with what is stored: version, permissions, and whether it would take a Job. Nothing is created."}
          </small>
        </div>
        <Button variant="default" loading={test.isPending} disabled={dirty} onClick={() => test.mutate()}>
          Test
        </Button>
      </div>
      {test.error && (
        <div className={classes.line}>
          <ErrorNotice error={test.error} />
        </div>
      )}
      {test.data && !test.isPending && <Found test={test.data} />}
    </div>
  );
}
