import { useQuery, useQueryClient } from "@tanstack/react-query";
import { createFileRoute, useNavigate } from "@tanstack/react-router";
import type { SourceKind } from "../../../api/aliases";
import { createSource, sourceQuery } from "../../../features/sources/api";
import { KindLinks } from "../../../features/sources/components/kind-cards";
import { SourceFields } from "../../../features/sources/components/source-form";
import { sourceKinds } from "../../../features/sources/filter";
import { draftOf, emptyForm, formOf, type SourceForm } from "../../../features/sources/form";
import { sourceKeys } from "../../../features/sources/keys";
import { ErrorNotice, Lines } from "../../../ui/feedback";
import { PageFrame } from "../../../ui/page";

interface Search {
  kind?: SourceKind;
  /** The source that it is a copy of. */
  from?: number;
}

export const Route = createFileRoute("/_app/sources/new")({
  validateSearch: (search): Search => {
    const kind = sourceKinds.find((k) => k === search.kind);
    const from = Number(search.from);
    return { ...(kind && { kind }), ...(Number.isInteger(from) && from > 0 && { from }) };
  },
  component: NewSource,
});

const ownZone = () => Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

function NewSource() {
  const { kind, from } = Route.useSearch();
  const navigate = useNavigate();
  const cache = useQueryClient();
  const origin = useQuery({ ...sourceQuery(from ?? 0), enabled: from !== undefined });
  const save = async (form: SourceForm) => {
    const made = await createSource(draftOf(form));
    void cache.invalidateQueries({ queryKey: sourceKeys.all });
    await navigate({ to: "/sources/$sourceId", params: { sourceId: String(made.id) } });
  };
  const start = origin.data ? formOf(origin.data, ownZone(), true) : emptyForm(kind ?? "local", ownZone());
  const ready = from === undefined || origin.data !== undefined;
  return (
    <PageFrame
      title="Add a source"
      crumbs={[{ label: "Sources", to: "/sources" }, { label: from === undefined ? "New" : "Copy" }]}
      narrow
    >
      {from === undefined && <KindLinks chosen={kind ?? "local"} />}
      {origin.isError && <ErrorNotice error={origin.error} onRetry={() => void origin.refetch()} />}
      {!ready && !origin.isError && <Lines n={6} />}
      {ready && (
        <SourceFields key={`${from ?? ""} ${start.kind}`} start={start} action="Add source" save={save} />
      )}
    </PageFrame>
  );
}
