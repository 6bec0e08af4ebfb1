import { Button } from "@mantine/core";
import { IconGitBranch } from "@tabler/icons-react";
import { useMutation } from "@tanstack/react-query";
import { ApiError } from "../../../api/client";
import { Empty } from "../../../ui/feedback";
import { notifyError } from "../../../ui/notices";
import { showVersion } from "../api";

export const isOtherBranch = (error: unknown): boolean =>
  error instanceof ApiError && error.reason === "message.other_branch";

interface Props {
  thread: number;
  message: number;
  onShown: () => void;
  onNewest: () => void;
}

/** A message that was found is in a version of the conversation that is not the one shown. */
export function OtherVersion({ thread, message, onShown, onNewest }: Props) {
  const show = useMutation({
    mutationFn: () => showVersion(thread, message),
    onSuccess: onShown,
    onError: (e) => notifyError("The other version cannot be shown", e),
  });
  return (
    <Empty
      icon={IconGitBranch}
      title="It is in another version"
      action={
        <>
          <Button loading={show.isPending} onClick={() => show.mutate()} mr={8}>
            Show that version
          </Button>
          <Button variant="default" onClick={onNewest}>
            Stay with this one
          </Button>
        </>
      }
    >
      A message before this one was edited, or its answer regenerated. The version that you choose is shown to
      everybody who opens the thread; the other ones stay.
    </Empty>
  );
}
