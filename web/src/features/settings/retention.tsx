import { Button } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { Confirm } from "../../ui/confirm";
import { ErrorNotice, Lines } from "../../ui/feedback";
import { NumberInput, Switch } from "../../ui/inputs";
import { notify } from "../../ui/notices";
import { Section } from "../../ui/page";
import { type LoadedRetention, retentionKey, retentionQuery, saveRetention } from "./api";
import {
  type Age,
  agesOf,
  changed,
  faultAt,
  faultOfAge,
  type RetentionField,
  retentionFields,
  retentionOf,
  shortened,
} from "./model";
import classes from "./settings.module.css";

interface FieldProps {
  field: (typeof retentionFields)[number];
  age: Age;
  fault: string | null;
  disabled: boolean;
  onChange: (next: Age) => void;
}

function AgeField({ field, age, fault, disabled, onChange }: FieldProps) {
  return (
    <div className={classes.line}>
      <div>
        {field.label}
        <small>{field.hint}</small>
        {fault && (
          <small role="alert" className={classes.fault}>
            {fault}
          </small>
        )}
      </div>
      <div className={classes.age}>
        <NumberInput
          aria-label={`Days that ${field.label.toLowerCase()} are kept`}
          w={110}
          allowDecimal={false}
          clampBehavior="none"
          hideControls
          placeholder="for ever"
          suffix=" days"
          error={fault !== null}
          disabled={disabled || age.forever}
          value={age.forever ? "" : age.days}
          onChange={(days) => onChange({ ...age, days })}
        />
        <Switch
          label="For ever"
          aria-label={`Keep ${field.label.toLowerCase()} for ever`}
          disabled={disabled}
          checked={age.forever}
          onChange={(e) => onChange({ ...age, forever: e.currentTarget.checked })}
        />
      </div>
    </div>
  );
}

const labelOf = (name: RetentionField): string =>
  retentionFields.find((f) => f.name === name)?.label.toLowerCase() ?? name;

/** The form over what was loaded; saved settings come back as another one of these. */
function RetentionForm({ saved, manages }: { saved: LoadedRetention; manages: boolean }) {
  const cache = useQueryClient();
  const [ages, setAges] = useState(agesOf(saved));
  const [asking, setAsking] = useState(false);
  const next = retentionOf(ages);
  const shorter = shortened(saved, next);
  const save = useMutation({
    mutationFn: () => saveRetention(next, saved.etag),
    onSuccess: (now) => {
      cache.setQueryData(retentionKey, now);
      notify("Saved. What is older goes within ten minutes.");
    },
  });
  const faulty = retentionFields.some(({ name }) => faultOfAge(ages[name]) !== null);
  const atField = retentionFields.some(({ name }) => faultAt(save.error, name) !== null);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (shorter.length > 0) setAsking(true);
    else save.mutate();
  };
  return (
    <form className={classes.form} onSubmit={submit}>
      {asking && (
        <Confirm
          title={`Remove old ${shorter.map(labelOf).join(", ")}?`}
          action="Save and remove"
          onClose={() => setAsking(false)}
          run={async () => save.mutate()}
        >
          What is older than the new age is removed. This cannot be undone.
        </Confirm>
      )}
      {retentionFields.map((field) => (
        <AgeField
          key={field.name}
          field={field}
          age={ages[field.name]}
          fault={faultOfAge(ages[field.name]) ?? faultAt(save.error, field.name)}
          disabled={!manages || save.isPending}
          onChange={(age) => {
            setAges({ ...ages, [field.name]: age });
            save.reset(); // it was about something else
          }}
        />
      ))}
      {save.error && !atField && (
        <div className={classes.line}>
          <ErrorNotice
            error={save.error}
            onRetry={() => void cache.invalidateQueries({ queryKey: retentionKey })}
          />
        </div>
      )}
      <div className={classes.line}>
        <span className={classes.hint}>
          {manages ? "Counted from the end of each." : "Administrators change this."}
        </span>
        {manages && (
          <Button type="submit" loading={save.isPending} disabled={faulty || !changed(saved, next)}>
            Save
          </Button>
        )}
      </div>
    </form>
  );
}

/** How long ended things are kept. */
export function RetentionSection({ manages }: { manages: boolean }) {
  const settings = useQuery(retentionQuery);
  return (
    <Section title="Retention">
      {settings.isError && <ErrorNotice error={settings.error} onRetry={() => void settings.refetch()} />}
      {settings.isPending && <Lines n={4} height={48} />}
      {settings.data && <RetentionForm key={settings.data.etag} saved={settings.data} manages={manages} />}
    </Section>
  );
}
