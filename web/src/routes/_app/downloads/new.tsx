import { createFileRoute } from "@tanstack/react-router";
import { NewDownload } from "../../../features/downloads/components/new-download";
import { notify } from "../../../ui/notices";
import { PageFrame } from "../../../ui/page";

// What is downloaded again begins with what was asked for before; patterns stand one a line.
const asked = ["repo", "revision", "include", "exclude"] as const;
type Search = { [name in (typeof asked)[number]]?: string };

const maxLength = 2_000;

function validateSearch(search: Record<string, unknown>): Search {
  const out: Search = {};
  for (const name of asked) {
    const value = search[name];
    if (typeof value === "string" && value !== "") out[name] = value.slice(0, maxLength);
  }
  return out;
}

export const Route = createFileRoute("/_app/downloads/new")({
  validateSearch,
  component: New,
});

function New() {
  const search = Route.useSearch();
  const navigate = Route.useNavigate();
  return (
    <PageFrame title="Download a model" crumbs={[{ label: "Downloads", to: "/downloads" }, { label: "New" }]}>
      <NewDownload
        from={search}
        onCreated={(job) => {
          if (!job.created) notify("This is being downloaded already; here it is.");
          void navigate({ to: "/downloads/$downloadId", params: { downloadId: String(job.id) } });
        }}
      />
    </PageFrame>
  );
}
