import { Button } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { ErrorNotice, Lines } from "../../ui/feedback";
import { notify } from "../../ui/notices";
import { Section } from "../../ui/page";
import own from "./node-executor.module.css";
import { allAtFields, changeOf, effectsOf, faulty, formOf, groups } from "./retrieval";
import {
  type LoadedRetrieval,
  retrievalKey,
  retrievalQuery,
  saveRetrieval,
  testEmbedding,
} from "./retrieval-api";
import { ModelLines, NumberLines, type PartProps } from "./retrieval-fields";
import { Effects, StaleSources } from "./retrieval-stale";
import classes from "./settings.module.css";

/** Asks the stored embedding model; what is not saved yet is not asked. */
function EmbeddingTestLine({ dirty }: { dirty: boolean }) {
  const test = useMutation({ mutationFn: testEmbedding });
  return (
    <>
      <div className={classes.line}>
        <div>
          Test
          <small>
            {dirty
              ? "Save first: the test asks with what is stored."
              : "Asks the stored embedding model for a vector."}
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
      {test.data && !test.isPending && !dirty && (
        <div className={own.found} role="status" data-ok={test.data.ok || undefined}>
          <b>{test.data.ok ? "The model embeds." : "The model does not embed."}</b>
          <div>{test.data.message}</div>
          {test.data.ok && <small>It took {test.data.latency_ms} ms.</small>}
        </div>
      )}
    </>
  );
}

function SaveBar({
  save,
  dirty,
  form,
  manages,
}: {
  save: { error: unknown; isPending: boolean };
  dirty: number;
  form: PartProps["form"];
  manages: boolean;
}) {
  const cache = useQueryClient();
  const marked = save.error !== null && allAtFields(save.error);
  return (
    <div className={own.save}>
      {save.error !== null && !marked && (
        <ErrorNotice
          error={save.error}
          onRetry={() => void cache.invalidateQueries({ queryKey: retrievalKey })}
        />
      )}
      {marked && (
        <span role="alert" className={own.refused}>
          Nothing was saved: see the fields marked above.
        </span>
      )}
      <span className={classes.hint}>
        {!manages
          ? "Administrators change this."
          : dirty > 0
            ? `Changed: ${dirty}.`
            : "Holds from the next search and index run on."}
      </span>
      {manages && (
        <Button type="submit" loading={save.isPending} disabled={dirty === 0 || faulty(form)}>
          Save
        </Button>
      )}
    </div>
  );
}

function Form({ saved, manages }: { saved: LoadedRetrieval; manages: boolean }) {
  const cache = useQueryClient();
  const [form, setForm] = useState(formOf(saved));
  const change = changeOf(form, saved);
  const dirty = Object.keys(change).length;
  const save = useMutation({
    mutationFn: () => saveRetrieval(change, saved.etag),
    onSuccess: (now) => {
      cache.setQueryData(retrievalKey, now);
      notify("Saved. It holds from the next search and index run on.");
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    save.mutate();
  };
  const part: PartProps = {
    form,
    error: save.error,
    disabled: !manages || save.isPending,
    onChange: (next) => {
      setForm((f) => ({ ...f, ...next }));
      save.reset(); // it was about something else
    },
  };
  return (
    <form onSubmit={submit}>
      <Section title="Models">
        <StaleSources />
        <div className={classes.form}>
          <ModelLines {...part} />
          {manages && <EmbeddingTestLine dirty={dirty > 0} />}
        </div>
      </Section>
      {groups.map((group) => (
        <Section key={group.title} title={group.title}>
          <div className={classes.form}>
            <NumberLines {...part} fields={group.fields} />
          </div>
        </Section>
      ))}
      <Effects items={faulty(form) ? [] : effectsOf(change)} />
      <SaveBar save={save} dirty={dirty} form={form} manages={manages} />
    </form>
  );
}

/** The models of retrieval, and the limits of indexing and of searches. */
export function RetrievalSettingsPage({ manages }: { manages: boolean }) {
  const loaded = useQuery(retrievalQuery);
  return (
    <>
      {loaded.isError && <ErrorNotice error={loaded.error} onRetry={() => void loaded.refetch()} />}
      {loaded.isPending && <Lines n={8} height={48} />}
      {loaded.data && <Form key={loaded.data.etag} saved={loaded.data} manages={manages} />}
    </>
  );
}
