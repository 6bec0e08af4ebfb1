import { IconHistory } from "@tabler/icons-react";
import { keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";
import { createFileRoute, useNavigate } from "@tanstack/react-router";
import { searchListQuery } from "../../../../features/searches/api";
import { SearchFilters } from "../../../../features/searches/components/search-filters";
import { SearchTable } from "../../../../features/searches/components/search-table";
import { filterOf, type SearchFilter } from "../../../../features/searches/filter";
import { periodFault } from "../../../../features/searches/model";
import { RetrievalTabs } from "../../../../features/sources/components/source-tabs";
import { Empty, ErrorNotice, Lines } from "../../../../ui/feedback";
import { LinkButton } from "../../../../ui/link-button";
import { PageFrame } from "../../../../ui/page";
import { ShowMore } from "../../../../ui/show-more";

export const Route = createFileRoute("/_app/sources/searches/")({
  // Read by the page itself, filterOf checks it: the first paint of other pages does without.
  validateSearch: (search) => search as object as SearchFilter,
  component: Searches,
});

function Searches() {
  const { user } = Route.useRouteContext();
  return (
    <PageFrame title="Searches" crumbs={[{ label: "Sources", to: "/sources" }, { label: "Searches" }]}>
      <RetrievalTabs manages={user.role === "admin"} />
      {user.role === "admin" ? (
        <List />
      ) : (
        <Empty icon={IconHistory} title="For administrators">
          What people and models asked of the sources is shown to administrators.
        </Empty>
      )}
    </PageFrame>
  );
}

function List() {
  const filter = filterOf({ ...Route.useSearch() });
  const navigate = useNavigate({ from: Route.fullPath });
  const list = useInfiniteQuery({ ...searchListQuery(filter), placeholderData: keepPreviousData });
  const items = list.data?.pages.flatMap((page) => page.items) ?? [];
  const filtered = Object.keys(filter).length > 0;
  const none = list.isSuccess && items.length === 0;
  if (none && !filtered)
    return (
      <Empty
        icon={IconHistory}
        title="Nobody has searched yet"
        action={<LinkButton to="/playground">Ask in the playground</LinkButton>}
      >
        Every question to the sources is kept for as long as Settings, Retrieval says: who asked, from where,
        and which passages were found.
      </Empty>
    );
  return (
    <>
      <SearchFilters filter={filter} onFilter={(next) => void navigate({ search: next, replace: true })} />
      {list.isError && <ErrorNotice error={list.error} onRetry={() => void list.refetch()} />}
      {list.isLoading && <Lines n={8} />}
      {none && periodFault(filter) === null && (
        <Empty
          icon={IconHistory}
          title="No search is like that"
          action={
            <LinkButton to="/sources/searches" variant="default">
              Clear the filters
            </LinkButton>
          }
        >
          Nobody asked this way, of this source, in these days.
        </Empty>
      )}
      {items.length > 0 && <SearchTable items={items} />}
      <ShowMore list={list} />
    </>
  );
}
