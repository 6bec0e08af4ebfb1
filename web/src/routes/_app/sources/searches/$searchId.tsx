import { IconZoomQuestion } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { createFileRoute, notFound } from "@tanstack/react-router";
import { searchQuery } from "../../../../features/searches/api";
import { SearchView } from "../../../../features/searches/components/search-view";
import { ErrorNotice, Lines } from "../../../../ui/feedback";
import { LinkButton } from "../../../../ui/link-button";
import { PageFrame } from "../../../../ui/page";

export const Route = createFileRoute("/_app/sources/searches/$searchId")({
  beforeLoad: ({ params }) => {
    if (!/^[1-9]\d{0,15}$/.test(params.searchId)) throw notFound();
  },
  component: Search,
});

function Search() {
  const id = Number(Route.useParams().searchId);
  const found = useQuery(searchQuery(id));
  const name = `Search ${id}`;
  return (
    <PageFrame
      title={name}
      crumbs={[
        { label: "Sources", to: "/sources" },
        { label: "Searches", to: "/sources/searches" },
        { label: name },
      ]}
      actions={
        found.data && (
          <LinkButton
            to="/playground"
            search={{ q: found.data.question.slice(0, 4_000), sources: found.data.source_ids.slice(0, 100) }}
            variant="default"
            leftSection={<IconZoomQuestion size={15} />}
          >
            Ask again
          </LinkButton>
        )
      }
    >
      {found.isError && <ErrorNotice error={found.error} onRetry={() => void found.refetch()} />}
      {found.isPending && <Lines n={6} />}
      {found.data && <SearchView of={found.data} />}
    </PageFrame>
  );
}
