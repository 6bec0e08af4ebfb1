import { createFileRoute } from "@tanstack/react-router";
import { NewDownload } from "../../../features/downloads/components/new-download";
import { notify } from "../../../ui/notices";
import { PageFrame } from "../../../ui/page";

interface Search {
  repo?: string;
}

export const Route = createFileRoute("/_app/downloads/new")({
  validateSearch: (search): Search =>
    typeof search.repo === "string" && search.repo !== "" ? { repo: search.repo.slice(0, 200) } : {},
  component: New,
});

function New() {
  const { repo = "" } = Route.useSearch();
  const navigate = Route.useNavigate();
  return (
    <PageFrame title="Download a model" crumbs={[{ label: "Downloads", to: "/downloads" }, { label: "New" }]}>
      <NewDownload
        repo={repo}
        onCreated={(job) => {
          if (!job.created) notify("This is being downloaded already; here it is.");
          void navigate({ to: "/downloads/$downloadId", params: { downloadId: String(job.id) } });
        }}
      />
    </PageFrame>
  );
}
