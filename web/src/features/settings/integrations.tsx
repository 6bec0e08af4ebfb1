import { Button } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import type { Integration } from "../../api/aliases";
import { ErrorNotice, Lines } from "../../ui/feedback";
import { PasswordInput, Textarea, TextInput } from "../../ui/inputs";
import { notify } from "../../ui/notices";
import { Section } from "../../ui/page";
import { Ago } from "../../ui/time";
import { integrationsKey, integrationsQuery, saveIntegration } from "./api";
import { changeOf, faultAt, isSecret, labelOf } from "./integration";
import classes from "./settings.module.css";

interface MemberProps {
  of: Integration;
  member: string;
  text: string | undefined;
  removed: boolean;
  fault: string | null;
  disabled: boolean;
  onChange: (text: string | null) => void;
}

function Member({ of, member, text, removed, fault, disabled, onChange }: MemberProps) {
  const secret = of.secrets.find((s) => s.name === member);
  const label = labelOf(member);
  const common = {
    "aria-label": `${label} of ${of.name}`,
    w: 270,
    disabled,
    error: fault !== null,
    autoComplete: "off",
  };
  const hint = () => {
    if (removed) return "Removed once saved.";
    if (secret)
      return (
        <>
          Set <Ago at={secret.set_at} />, fingerprint {secret.fingerprint}. It is never given out.
        </>
      );
    return of.missing.includes(member) ? "Needed." : null;
  };
  const input = () => {
    if (!isSecret(member))
      return (
        <TextInput
          {...common}
          value={text ?? of.config[member] ?? ""}
          onChange={(e) => onChange(e.currentTarget.value)}
        />
      );
    const write = {
      ...common,
      placeholder: secret ? "Unchanged" : "Not set",
      value: text ?? "",
      onChange: (e: { currentTarget: { value: string } }) => onChange(e.currentTarget.value),
    };
    return member.endsWith("_json") ? (
      <Textarea {...write} autosize minRows={2} maxRows={6} />
    ) : (
      <PasswordInput {...write} />
    );
  };
  return (
    <div className={classes.line}>
      <div>
        {label}
        <small>{hint()}</small>
        {fault && (
          <small role="alert" className={classes.fault}>
            {fault}
          </small>
        )}
      </div>
      <div className={classes.age}>
        {secret && !disabled && (
          <Button variant="subtle" size="compact-xs" onClick={() => onChange(removed ? "" : null)}>
            {removed ? "Keep" : "Remove"}
          </Button>
        )}
        {input()}
      </div>
    </div>
  );
}

function Form({ of, manages }: { of: Integration; manages: boolean }) {
  const cache = useQueryClient();
  const [typed, setTyped] = useState<Record<string, string | null>>({});
  const change = changeOf(of, typed);
  const save = useMutation({
    mutationFn: () => saveIntegration(of, change),
    onSuccess: (now) => {
      cache.setQueryData<Integration[]>(integrationsKey, (all) =>
        all?.map((i) => (i.key === now.key ? now : i)),
      );
      setTyped({}); // a secret that was sent is not kept here
      notify(`${now.name} is saved.`);
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    save.mutate();
  };
  const atField = of.accepted.some((m) => faultAt(save.error, m) !== null);
  return (
    <form className={classes.form} onSubmit={submit}>
      {of.accepted.map((member) => (
        <Member
          key={member}
          of={of}
          member={member}
          text={typed[member] ?? undefined}
          removed={typed[member] === null}
          fault={faultAt(save.error, member)}
          disabled={!manages || save.isPending}
          onChange={(text) => {
            setTyped({ ...typed, [member]: text });
            save.reset(); // it was about something else
          }}
        />
      ))}
      {save.error && !atField && (
        <div className={classes.line}>
          <ErrorNotice
            error={save.error}
            onRetry={() => void cache.invalidateQueries({ queryKey: integrationsKey })}
          />
        </div>
      )}
      <div className={classes.line}>
        <span className={classes.hint}>
          {of.configured
            ? "Configured: its MCP server is there."
            : `Not configured: it needs ${of.missing.map(labelOf).join(", ")}.`}
        </span>
        {manages && (
          <Button type="submit" loading={save.isPending} disabled={Object.keys(change).length === 0}>
            Save
          </Button>
        )}
      </div>
    </form>
  );
}

/** Other systems; each that is configured has its integrated MCP server. */
export function Integrations({ manages }: { manages: boolean }) {
  const loaded = useQuery(integrationsQuery);
  return (
    <>
      {loaded.isError && <ErrorNotice error={loaded.error} onRetry={() => void loaded.refetch()} />}
      {loaded.isPending && <Lines n={6} height={64} />}
      {loaded.data?.map((one) => (
        <Section key={one.key} title={one.name}>
          <Form key={one.revision} of={one} manages={manages} />
        </Section>
      ))}
    </>
  );
}
