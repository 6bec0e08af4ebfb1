import { Button } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { ErrorNotice, Lines } from "../../ui/feedback";
import { notify } from "../../ui/notices";
import { Section } from "../../ui/page";
import { executorKey, executorQuery, type LoadedExecutor, saveExecutor } from "./api";
import { ClusterTestPanel } from "./cluster-test";
import { Fields, type PartProps } from "./executor-fields";
import { Kubeconfig } from "./kubeconfig";
import {
  allAtFields,
  changeOf,
  clusterGroup,
  executorGroups,
  faultyNumber,
  formOf,
  whereGroup,
} from "./node-executor";
import own from "./node-executor.module.css";
import classes from "./settings.module.css";

function Form({ saved, manages }: { saved: LoadedExecutor; manages: boolean }) {
  const cache = useQueryClient();
  const [form, setForm] = useState(formOf(saved));
  const change = changeOf(form, saved);
  const dirty = Object.keys(change).length > 0;
  const save = useMutation({
    mutationFn: () => saveExecutor(change, saved.etag),
    onSuccess: (now) => {
      cache.setQueryData(executorKey, now);
      notify("Saved. It holds from the next node on.");
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    save.mutate();
  };
  const part: PartProps = {
    saved,
    form,
    error: save.error,
    disabled: !manages || save.isPending,
    onChange: (next) => {
      setForm((f) => ({ ...f, ...next }));
      save.reset(); // it was about something else
    },
  };
  return (
    <>
      <form onSubmit={submit}>
        {[whereGroup, clusterGroup, ...executorGroups].map((group) => (
          <Section key={group.title} title={group.title}>
            <div className={classes.form}>
              <Fields {...part} group={group} />
              {group === clusterGroup && <Kubeconfig {...part} />}
            </div>
          </Section>
        ))}
        <div className={own.save}>
          {save.error && !allAtFields(save.error) && (
            <ErrorNotice
              error={save.error}
              onRetry={() => void cache.invalidateQueries({ queryKey: executorKey })}
            />
          )}
          {save.error && allAtFields(save.error) && (
            <span role="alert" className={own.refused}>
              Nothing was saved: see the fields marked above.
            </span>
          )}
          <span className={classes.hint}>
            {manages
              ? dirty
                ? `Changed: ${Object.keys(change).length}.`
                : "Holds from the next node on, without a restart."
              : "Administrators change this."}
          </span>
          {manages && (
            <Button type="submit" loading={save.isPending} disabled={!dirty || faultyNumber(form) !== null}>
              Save
            </Button>
          )}
        </div>
      </form>
      {manages && (
        <Section title="Test">
          <ClusterTestPanel dirty={dirty} />
        </Section>
      )}
    </>
  );
}

/** Where nodes run, for how long, and how their Kubernetes Jobs are made. */
export function NodeExecutorSettings({ manages }: { manages: boolean }) {
  const loaded = useQuery(executorQuery);
  return (
    <>
      {loaded.isError && <ErrorNotice error={loaded.error} onRetry={() => void loaded.refetch()} />}
      {loaded.isPending && <Lines n={8} height={48} />}
      {loaded.data && <Form key={loaded.data.etag} saved={loaded.data} manages={manages} />}
    </>
  );
}
