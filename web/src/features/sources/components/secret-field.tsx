import { Button } from "@mantine/core";
import { IconUpload } from "@tabler/icons-react";
import { useRef, useState } from "react";
import { Input, PasswordInput, SegmentedControl, Textarea } from "../../../ui/inputs";
import { Ago } from "../../../ui/time";
import type { SecretKind } from "../form";
import classes from "../sources.module.css";
import type { PartProps } from "./place-fields";

const choices: { value: SecretKind; label: string }[] = [
  { value: "none", label: "None" },
  { value: "token", label: "Token" },
  { value: "ssh_key", label: "SSH key" },
];

const maxBytes = 65_536;

function Upload({ onText }: { onText: (text: string) => void }) {
  const input = useRef<HTMLInputElement>(null);
  const [fault, setFault] = useState("");
  const read = async (file: File | undefined) => {
    if (!file) return;
    if (file.size > maxBytes) setFault("That file is larger than any key.");
    else {
      setFault("");
      onText(await file.text());
    }
  };
  return (
    <div className={classes.upload}>
      <input
        ref={input}
        type="file"
        hidden
        aria-hidden
        tabIndex={-1}
        onChange={(e) => {
          void read(e.currentTarget.files?.[0]);
          e.currentTarget.value = "";
        }}
      />
      <Button
        size="compact-xs"
        variant="default"
        leftSection={<IconUpload size={13} />}
        onClick={() => input.current?.click()}
      >
        From a file
      </Button>
      {fault && <span role="alert">{fault}</span>}
    </div>
  );
}

const labels: Record<Exclude<SecretKind, "none">, string> = {
  token: "Token",
  ssh_key: "Private key",
  service_account: "Service account",
};

const hints: Record<Exclude<SecretKind, "none">, string> = {
  token: "One that may read the repository",
  ssh_key: "In OpenSSH or PEM form, without a passphrase",
  service_account: "The JSON key that Google gives for it",
};

/** A secret that goes in and never comes out: what is stored is shown by its fingerprint. */
export function SecretField({ form, fault, change, stored }: PartProps) {
  const kind = form.secretKind;
  const kept = stored !== null && stored.kind === kind;
  const set = (secret: string) => change({ secret });
  return (
    <div className={classes.secret}>
      {form.kind === "git" && (
        <Input.Wrapper label="Access" labelElement="div">
          <SegmentedControl
            fullWidth
            aria-label="Access"
            value={kind}
            data={choices}
            onChange={(value) =>
              change({ secretKind: choices.find((c) => c.value === value)?.value ?? "none", secret: "" })
            }
          />
        </Input.Wrapper>
      )}
      {kind === "token" && (
        <PasswordInput
          label={labels.token}
          description={hints.token}
          placeholder={kept ? "Stored. Write another one to replace it" : ""}
          autoComplete="new-password"
          maxLength={10_000}
          value={form.secret}
          error={fault("token")}
          onChange={(e) => set(e.currentTarget.value)}
        />
      )}
      {(kind === "ssh_key" || kind === "service_account") && (
        <>
          <Textarea
            label={labels[kind]}
            description={hints[kind]}
            placeholder={kept ? "Stored. Paste another one to replace it" : "Paste it here"}
            autoComplete="off"
            spellCheck={false}
            autosize
            minRows={3}
            maxRows={8}
            maxLength={maxBytes}
            styles={{ input: { fontFamily: "var(--st-mono)", fontSize: 12 } }}
            value={form.secret}
            error={fault(kind)}
            onChange={(e) => set(e.currentTarget.value)}
          />
          <Upload onText={set} />
        </>
      )}
      {kept && (
        <p className={classes.quiet}>
          Stored since <Ago at={stored.set_at} />, fingerprint <code>{stored.fingerprint}</code>.
        </p>
      )}
    </div>
  );
}
