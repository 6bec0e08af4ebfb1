import { Button, Tooltip } from "@mantine/core";
import { useHotkeys } from "@mantine/hooks";
import { IconLayoutSidebarRight } from "@tabler/icons-react";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { createFileRoute, notFound, useNavigate } from "@tanstack/react-router";
import { conversationQuery } from "../../../features/threads/api";
import { ConversationPane } from "../../../features/threads/components/conversation-pane";
import { isOtherBranch, OtherVersion } from "../../../features/threads/components/other-version";
import { SidePanel } from "../../../features/threads/components/side-panel";
import { money } from "../../../features/threads/model";
import classes from "../../../features/threads/threads.module.css";
import { useThreadActions } from "../../../features/threads/use-thread-actions";
import { useRoom } from "../../../realtime/provider";
import { ErrorNotice, Lines } from "../../../ui/feedback";
import { PageFrame } from "../../../ui/page";

export const Route = createFileRoute("/_app/threads/$threadId")({
  beforeLoad: ({ params }) => {
    if (!/^[1-9]\d{0,15}$/.test(params.threadId)) throw notFound();
  },
  component: ThreadPage,
});

function ThreadPage() {
  const id = Number(Route.useParams().threadId);
  const { m: around = 0, about = false } = Route.useSearch();
  const navigate = useNavigate({ from: Route.fullPath });
  const cache = useQueryClient();
  const conversation = useQuery(conversationQuery(cache, id, around));
  const data = conversation.data;
  useRoom(data ? `thread:${id}` : null, data?.as_of.sequence);
  const actions = useThreadActions((gone) => {
    if (gone === id) void navigate({ to: "/threads", search: {} });
  });
  const toggle = (open: boolean) =>
    void navigate({
      search: ({ about: _, ...s }) => ({ ...s, ...(open && { about: true }) }),
      replace: true,
    });
  useHotkeys([["i", () => toggle(!about)]]);
  const title = data?.thread.title ?? `Thread ${id}`;
  const cost = data?.thread.usage.cost_micros;
  return (
    <PageFrame
      full
      title={title}
      crumbs={[{ label: "Threads", to: "/threads" }, { label: title }]}
      actions={
        data && (
          <>
            {typeof cost === "number" && cost > 0 && (
              <Tooltip label="What the answers of this thread cost so far">
                <span className={classes.cost}>{money(cost, data.currency)}</span>
              </Tooltip>
            )}
            <Tooltip label="Choices, context, usage and export (I)">
              <Button
                variant="default"
                aria-pressed={about}
                aria-label="About this thread"
                leftSection={<IconLayoutSidebarRight size={15} />}
                onClick={() => toggle(!about)}
              >
                <span className={classes.aboutLabel}>About</span>
              </Button>
            </Tooltip>
          </>
        )
      }
    >
      {!data && conversation.isError && (
        <div className={classes.problem}>
          {isOtherBranch(conversation.error) ? (
            <OtherVersion
              thread={id}
              message={around}
              onShown={() => void conversation.refetch()}
              onNewest={() => void navigate({ search: ({ m: _, ...s }) => s, replace: true })}
            />
          ) : (
            <ErrorNotice error={conversation.error} onRetry={() => void conversation.refetch()} />
          )}
        </div>
      )}
      {!data && conversation.isPending && (
        <div className={classes.problem}>
          <Lines n={6} height={56} />
        </div>
      )}
      {data && (
        <div className={classes.thread}>
          <ConversationPane
            key={id}
            data={data}
            around={around}
            onNewest={() => void navigate({ search: ({ m: _, ...s }) => s, replace: true })}
            onContext={() => toggle(true)}
          />
          {about && <SidePanel data={data} actions={actions} onClose={() => toggle(false)} />}
        </div>
      )}
    </PageFrame>
  );
}
