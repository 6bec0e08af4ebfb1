import { useQuery, useQueryClient } from "@tanstack/react-query";
import { createFileRoute, notFound } from "@tanstack/react-router";
import { downloadKeys, downloadQuery } from "../../../features/downloads/api";
import { JobActions } from "../../../features/downloads/components/job-actions";
import { JobView } from "../../../features/downloads/components/job-view";
import { useRoom } from "../../../realtime/provider";
import { ErrorNotice, Lines } from "../../../ui/feedback";
import { PageFrame } from "../../../ui/page";

export const Route = createFileRoute("/_app/downloads/$downloadId")({
  beforeLoad: ({ params }) => {
    if (!/^[1-9]\d{0,15}$/.test(params.downloadId)) throw notFound();
  },
  component: DownloadPage,
});

function DownloadPage() {
  const id = Number(Route.useParams().downloadId);
  const navigate = Route.useNavigate();
  const cache = useQueryClient();
  const detail = useQuery(downloadQuery(id));
  const asOf = detail.data?.as_of.sequence;
  useRoom(asOf === undefined ? null : `download_job:${id}`, asOf);
  const job = detail.data;
  return (
    <PageFrame
      title={job?.repo_id ?? `Download ${id}`}
      crumbs={[{ label: "Downloads", to: "/downloads" }, { label: job?.repo_id ?? `#${id}` }]}
      actions={
        job && (
          <JobActions
            job={job}
            onGone={() => {
              void navigate({ to: "/downloads" }).then(() => {
                cache.removeQueries({ queryKey: downloadKeys.detail(id) });
                return cache.invalidateQueries({ queryKey: downloadKeys.lists });
              });
            }}
          />
        )
      }
    >
      {detail.isError && !job && <ErrorNotice error={detail.error} onRetry={() => void detail.refetch()} />}
      {detail.isPending && <Lines n={8} />}
      {job && <JobView key={id} job={job} />}
    </PageFrame>
  );
}
