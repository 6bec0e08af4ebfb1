import { Button } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Confirm } from "../../ui/confirm";
import { Textarea } from "../../ui/inputs";
import { notify } from "../../ui/notices";
import { Ago } from "../../ui/time";
import { executorKey, saveExecutor } from "./api";
import type { PartProps } from "./executor-fields";
import { faultAt } from "./node-executor";
import own from "./node-executor.module.css";
import classes from "./settings.module.css";

/** The kubeconfig is only ever written: what is known of the stored one is shown. */
export function Kubeconfig({ saved, form, error, disabled, onChange }: PartProps) {
  const cache = useQueryClient();
  const [writing, setWriting] = useState(false);
  const [removing, setRemoving] = useState(false);
  const { set, updated_at, fingerprint, contexts } = saved.k8s_kubeconfig;
  const fault = faultAt(error, "k8s_kubeconfig");
  const remove = useMutation({
    mutationFn: () => saveExecutor({ k8s_kubeconfig: null, k8s_context: null }, saved.etag),
    onSuccess: (now) => {
      cache.setQueryData(executorKey, now);
      notify("The kubeconfig is removed.");
    },
  });
  const stop = () => {
    setWriting(false);
    onChange({ kubeconfig: "" });
  };
  return (
    <>
      <div className={classes.line}>
        <div>
          Kubeconfig
          <small>
            {set ? (
              <>
                Set <Ago at={updated_at} />, fingerprint <code>{fingerprint}</code>, {contexts.length}{" "}
                {contexts.length === 1 ? "context" : "contexts"}. It is never given out.
              </>
            ) : (
              "Not set. It is stored encrypted and never given out."
            )}
          </small>
          {fault && (
            <small role="alert" className={classes.fault}>
              {fault}
            </small>
          )}
        </div>
        {!disabled && (
          <div className={own.buttons}>
            <Button variant="default" onClick={writing ? stop : () => setWriting(true)}>
              {writing ? "Keep as it is" : set ? "Replace" : "Set"}
            </Button>
            {set && !writing && (
              <Button variant="default" onClick={() => setRemoving(true)}>
                Remove
              </Button>
            )}
          </div>
        )}
      </div>
      {writing && (
        <div className={own.kubeconfig}>
          <Textarea
            aria-label="New kubeconfig"
            description="All in one text, as kubectl config view --raw --flatten prints it. Files, programs (exec) and auth providers are refused."
            placeholder="apiVersion: v1"
            autosize
            minRows={6}
            maxRows={16}
            spellCheck={false}
            autoComplete="off"
            disabled={disabled}
            error={fault !== null}
            value={form.kubeconfig}
            onChange={(e) => onChange({ kubeconfig: e.currentTarget.value })}
          />
        </div>
      )}
      {removing && (
        <Confirm
          title="Remove the kubeconfig?"
          action="Remove kubeconfig"
          onClose={() => setRemoving(false)}
          run={() => remove.mutateAsync()}
        >
          It cannot be read back. Nodes can no longer run in its cluster, and other changes of this form that
          are not saved are lost.
        </Confirm>
      )}
    </>
  );
}
