import { useHotkeys } from "@mantine/hooks";
import { IconZoomQuestion } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { createFileRoute, useNavigate } from "@tanstack/react-router";
import { useMemo, useRef } from "react";
import { retrievalQuery } from "../../features/playground/api";
import { type Asked, askedOf } from "../../features/playground/asked";
import { Question } from "../../features/playground/components/question";
import { Results } from "../../features/playground/components/results";
import { HealthBanner } from "../../features/sources/components/health-banner";
import { RetrievalTabs } from "../../features/sources/components/source-tabs";
import { Empty, ErrorNotice, Lines } from "../../ui/feedback";
import { KeysHelp } from "../../ui/keys-help";
import { PageFrame } from "../../ui/page";

export const Route = createFileRoute("/_app/playground")({
  // Read by the page itself, askedOf checks it: the first paint of other pages does without.
  validateSearch: (search) => search as object as Asked,
  component: Playground,
});

const keys = [
  ["/", "Write a question"],
  ["Enter", "Ask; Shift Enter is a new line"],
  ["J and K", "The next passage, the one before"],
  ["Esc", "Leave the question"],
] as const;

function Playground() {
  const { user } = Route.useRouteContext();
  const search = Route.useSearch();
  const asked = useMemo(() => askedOf({ ...search }), [search]);
  const navigate = useNavigate({ from: Route.fullPath });
  const field = useRef<HTMLTextAreaElement>(null);
  const found = useQuery(retrievalQuery(asked));
  useHotkeys([["/", () => field.current?.focus()]]);
  const same = (next: typeof asked) => JSON.stringify(askedOf({ ...next })) === JSON.stringify(asked);
  return (
    <PageFrame title="Playground" crumbs={[{ label: "Sources", to: "/sources" }, { label: "Playground" }]}>
      <RetrievalTabs manages={user.role === "admin"} />
      <HealthBanner />
      <KeysHelp keys={keys} />
      <Question
        key={JSON.stringify(asked)}
        asked={asked}
        busy={found.isFetching}
        field={field}
        onAsk={(next) => {
          if (same(next)) void found.refetch();
          else void navigate({ search: next });
        }}
      />
      {found.isError && <ErrorNotice error={found.error} onRetry={() => void found.refetch()} />}
      {found.isLoading && <Lines n={6} height={46} />}
      {found.data && <Results key={found.dataUpdatedAt} retrieved={found.data} />}
      {asked.q === undefined && (
        <Empty icon={IconZoomQuestion} title="See what a question finds">
          The same search that threads and flowcharts use, with its ranks laid open: what words found, what
          meaning found, and how the two were joined. / goes to the question, j and k walk through the
          results, ? shows all keys.
        </Empty>
      )}
    </PageFrame>
  );
}
