import { createFileRoute } from "@tanstack/react-router";
import { Start } from "../../../features/threads/components/start";
import { LinkButton } from "../../../ui/link-button";
import { PageFrame } from "../../../ui/page";

export const Route = createFileRoute("/_app/threads/")({ component: ThreadsStart });

function ThreadsStart() {
  return (
    <PageFrame
      full
      title="Threads"
      actions={
        <LinkButton to="/threads/activity" variant="default">
          Activity
        </LinkButton>
      }
    >
      <Start />
    </PageFrame>
  );
}
