import { IconBooks } from "@tabler/icons-react";
import { useInfiniteQuery } from "@tanstack/react-query";
import { createFileRoute } from "@tanstack/react-router";
import { collectionsQuery } from "../../../features/sources/api";
import { CollectionTable } from "../../../features/sources/components/collection-table";
import { HealthBanner } from "../../../features/sources/components/health-banner";
import { RetrievalTabs } from "../../../features/sources/components/source-tabs";
import { Empty, ErrorNotice, Lines } from "../../../ui/feedback";
import { LinkButton } from "../../../ui/link-button";
import { PageFrame } from "../../../ui/page";
import { ShowMore } from "../../../ui/show-more";

export const Route = createFileRoute("/_app/sources/collections")({ component: Collections });

function Collections() {
  const { user } = Route.useRouteContext();
  const list = useInfiniteQuery(collectionsQuery);
  const items = list.data?.pages.flatMap((page) => page.items) ?? [];
  return (
    <PageFrame title="Collections" crumbs={[{ label: "Sources", to: "/sources" }, { label: "Collections" }]}>
      <RetrievalTabs manages={user.role === "admin"} />
      <HealthBanner />
      {list.isError && <ErrorNotice error={list.error} onRetry={() => void list.refetch()} />}
      {list.isPending && <Lines n={5} />}
      {list.isSuccess && items.length === 0 && (
        <Empty
          icon={IconBooks}
          title="Nothing is indexed yet"
          action={<LinkButton to="/sources">Go to the sources</LinkButton>}
        >
          What searches can see is listed here: for each source its files, languages and kinds, and whether it
          has vectors.
        </Empty>
      )}
      {items.length > 0 && <CollectionTable items={items} />}
      <ShowMore list={list} />
    </PageFrame>
  );
}
