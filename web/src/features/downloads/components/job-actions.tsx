import { ActionIcon, Button, Tooltip } from "@mantine/core";
import { IconPlayerPause, IconPlayerPlay, IconPlayerStop, IconRepeat, IconTrash } from "@tabler/icons-react";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import type { Download } from "../../../api/aliases";
import { Confirm } from "../../../ui/confirm";
import { bytes } from "../../../ui/format";
import { Switch } from "../../../ui/inputs";
import { LinkButton } from "../../../ui/link-button";
import { notifyError } from "../../../ui/notices";
import { cancelDownload, deleteDownload, pauseDownload, resumeDownload } from "../api";
import { isFinal } from "../model";

function DeleteDialog({ job, onClose, onGone }: { job: Download; onClose: () => void; onGone: () => void }) {
  const brought = job.status === "succeeded";
  const [files, setFiles] = useState(false);
  return (
    <Confirm
      title={`Delete the download of ${job.repo_id}?`}
      action={files ? `Delete with ${bytes(job.bytes_total)}` : "Delete"}
      run={() => deleteDownload(job.id, files).then(onGone)}
      onClose={onClose}
    >
      {brought
        ? `The record goes from the list. The files in models/${job.target} stay, unless you remove them as well.`
        : `The record goes from the list, and with it the ${bytes(job.bytes_done)} that it had fetched. This cannot be undone.`}
      {brought && (
        <Switch
          mt="md"
          label={`Remove the files, too: ${bytes(job.bytes_total)}. This cannot be undone.`}
          checked={files}
          onChange={(e) => setFiles(e.currentTarget.checked)}
        />
      )}
    </Confirm>
  );
}

/** What can be asked of a download in its state. */
export function JobActions({ job, onGone }: { job: Download; onGone: () => void }) {
  const cache = useQueryClient();
  const [asking, setAsking] = useState<"cancel" | "delete" | null>(null);
  const refresh = () => cache.invalidateQueries({ queryKey: ["downloads"] });
  const pause = useMutation({
    mutationFn: () => pauseDownload(job.id),
    onError: (error) => notifyError("The download was not paused", error),
    onSettled: refresh,
  });
  const resume = useMutation({
    mutationFn: () => resumeDownload(job.id),
    onError: (error) => notifyError("The download did not go on", error),
    onSettled: refresh,
  });
  const pausing = job.order?.asked === "pause";
  if (isFinal(job.status)) {
    return (
      <>
        {job.status !== "succeeded" && (
          <LinkButton
            to="/downloads/new"
            search={{
              repo: job.repo_id,
              revision: job.revision,
              ...(job.include.length > 0 && { include: job.include.join("\n") }),
              ...(job.exclude.length > 0 && { exclude: job.exclude.join("\n") }),
            }}
            leftSection={<IconRepeat size={15} />}
          >
            Download again
          </LinkButton>
        )}
        <Tooltip label="Delete">
          <ActionIcon aria-label="Delete" onClick={() => setAsking("delete")}>
            <IconTrash size={16} />
          </ActionIcon>
        </Tooltip>
        {asking === "delete" && <DeleteDialog job={job} onClose={() => setAsking(null)} onGone={onGone} />}
      </>
    );
  }
  return (
    <>
      {job.status === "paused" || pausing ? (
        <Button
          leftSection={<IconPlayerPlay size={15} />}
          loading={resume.isPending}
          disabled={job.status === "cancelling"}
          onClick={() => resume.mutate()}
        >
          {job.status === "paused" ? "Resume" : "Do not pause"}
        </Button>
      ) : (
        <Button
          variant="default"
          leftSection={<IconPlayerPause size={15} />}
          loading={pause.isPending}
          disabled={job.status === "cancelling"}
          onClick={() => pause.mutate()}
        >
          Pause
        </Button>
      )}
      <Button
        variant="default"
        leftSection={<IconPlayerStop size={15} />}
        disabled={job.status === "cancelling"}
        onClick={() => setAsking("cancel")}
      >
        Cancel
      </Button>
      {asking === "cancel" && (
        <Confirm
          title={`Cancel the download of ${job.repo_id}?`}
          action="Cancel the download"
          run={() => cancelDownload(job.id).then(refresh)}
          onClose={() => setAsking(null)}
        >
          The {bytes(job.bytes_done)} that it has fetched are removed. Pause it instead to keep them.
        </Confirm>
      )}
    </>
  );
}
