import { IconDownload } from "@tabler/icons-react";
import { useInfiniteQuery } from "@tanstack/react-query";
import { createFileRoute } from "@tanstack/react-router";
import { downloadListQuery } from "../../../features/downloads/api";
import { DownloadTable } from "../../../features/downloads/components/download-table";
import { Empty, ErrorNotice, Lines } from "../../../ui/feedback";
import { LinkButton } from "../../../ui/link-button";
import { PageFrame } from "../../../ui/page";
import { ShowMore } from "../../../ui/show-more";

export const Route = createFileRoute("/_app/downloads/")({ component: Downloads });

function Downloads() {
  const list = useInfiniteQuery(downloadListQuery());
  const items = list.data?.pages.flatMap((page) => page.items) ?? [];
  const start = <LinkButton to="/downloads/new">Download a model</LinkButton>;
  return (
    <PageFrame title="Downloads" actions={items.length > 0 && start}>
      {list.isError && <ErrorNotice error={list.error} onRetry={() => void list.refetch()} />}
      {list.isPending && <Lines n={6} />}
      {list.isSuccess && items.length === 0 && (
        <Empty icon={IconDownload} title="No downloads yet" action={start}>
          Bring a model from the hub into the data folder: its files are fetched in parts, survive any
          restart, and are verified before they appear.
        </Empty>
      )}
      {items.length > 0 && <DownloadTable items={items} />}
      <ShowMore list={list} />
    </PageFrame>
  );
}
