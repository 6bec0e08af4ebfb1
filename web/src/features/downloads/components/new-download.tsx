import { Button, Group, Stack } from "@mantine/core";
import { IconDownload, IconListSearch } from "@tabler/icons-react";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import type { Download, DownloadRequest } from "../../../api/aliases";
import { ErrorNotice } from "../../../ui/feedback";
import { PasswordInput, Textarea, TextInput } from "../../../ui/inputs";
import { createDownload, downloadKeys, planDownload } from "../api";
import classes from "../downloads.module.css";
import { obstacle, patternsOf } from "../model";
import { PlanView } from "./plan-view";

const empty = { repo: "", revision: "", include: "", exclude: "", token: "" };

const requestOf = (form: typeof empty): DownloadRequest => ({
  repo_id: form.repo.trim(),
  ...(form.revision.trim() && { revision: form.revision.trim() }),
  include: patternsOf(form.include),
  exclude: patternsOf(form.exclude),
  ...(form.token && { token: form.token }),
});

interface Props {
  /** What the form begins with. */
  from?: Partial<Omit<typeof empty, "token">>;
  onCreated: (job: Download & { created: boolean }) => void;
}

/** Asks what to download, shows what that would be, and starts it. */
export function NewDownload({ from, onCreated }: Props) {
  const cache = useQueryClient();
  const [form, setForm] = useState({ ...empty, ...from });
  const plan = useMutation({ mutationFn: () => planDownload(requestOf(form)) });
  const start = useMutation({
    mutationFn: () => createDownload(requestOf(form)),
    onSuccess: (job) => {
      void cache.invalidateQueries({ queryKey: downloadKeys.lists });
      onCreated(job);
    },
  });
  const change = (field: keyof typeof empty) => (e: { currentTarget: { value: string } }) => {
    setForm({ ...form, [field]: e.currentTarget.value });
    plan.reset(); // it was of something else
    start.reset();
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    plan.mutate();
  };
  const error = start.error ?? plan.error;
  const ready = plan.data !== undefined && obstacle(plan.data) === null;
  return (
    <div className={classes.columns}>
      <form onSubmit={submit} autoComplete="off">
        <Stack gap="sm">
          <TextInput
            label="Model"
            description="Owner and name, as on the hub"
            placeholder="Qwen/Qwen2.5-0.5B-Instruct"
            required
            withAsterisk={false}
            data-autofocus
            maxLength={200}
            value={form.repo}
            onChange={change("repo")}
          />
          <TextInput
            label="Revision"
            description="A branch, a tag or a commit"
            placeholder="main"
            maxLength={200}
            value={form.revision}
            onChange={change("revision")}
          />
          <Textarea
            label="Only these files"
            description="Patterns, one a line; * also matches a slash"
            placeholder={"*.safetensors\n*.json"}
            autosize
            minRows={2}
            value={form.include}
            onChange={change("include")}
          />
          <Textarea
            label="Not these"
            placeholder="*.onnx"
            autosize
            minRows={2}
            value={form.exclude}
            onChange={change("exclude")}
          />
          <PasswordInput
            label="Token"
            description="For this download only, instead of HF_TOKEN. Stored sealed, removed when it ends."
            autoComplete="new-password"
            value={form.token}
            onChange={change("token")}
          />
          <Group justify="flex-end" gap="xs" mt={4}>
            <Button
              type="submit"
              variant={ready ? "default" : "filled"}
              leftSection={<IconListSearch size={15} />}
              loading={plan.isPending}
              disabled={!form.repo.trim()}
            >
              Look at it
            </Button>
            <Button
              leftSection={<IconDownload size={15} />}
              variant={ready ? "filled" : "default"}
              loading={start.isPending}
              disabled={!ready}
              onClick={() => start.mutate()}
            >
              Download
            </Button>
          </Group>
        </Stack>
      </form>
      <div>
        {error && <ErrorNotice error={error} />}
        {plan.data && <PlanView plan={plan.data} />}
        {!plan.data && !error && (
          <p className={classes.note}>
            {plan.isPending
              ? "Asking the hub…"
              : "Look at it first: the files with their sizes, and whether they fit. Nothing is downloaded by that."}
          </p>
        )}
      </div>
    </div>
  );
}
