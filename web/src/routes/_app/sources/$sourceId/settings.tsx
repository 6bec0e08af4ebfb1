import { useQueryClient } from "@tanstack/react-query";
import { createFileRoute, notFound } from "@tanstack/react-router";
import { type LoadedSource, updateSource } from "../../../../features/sources/api";
import { SourceFields } from "../../../../features/sources/components/source-form";
import { SourceFrame } from "../../../../features/sources/components/source-frame";
import { changeOf, formOf, type SourceForm } from "../../../../features/sources/form";
import { sourceKeys } from "../../../../features/sources/keys";
import classes from "../../../../features/sources/sources.module.css";
import { LinkButton } from "../../../../ui/link-button";
import { notify } from "../../../../ui/notices";

export const Route = createFileRoute("/_app/sources/$sourceId/settings")({
  beforeLoad: ({ params }) => {
    if (!/^[1-9]\d{0,15}$/.test(params.sourceId)) throw notFound();
  },
  component: SettingsPage,
});

function Form({ source }: { source: LoadedSource }) {
  const cache = useQueryClient();
  const save = async (form: SourceForm) => {
    const { notice } = await updateSource(source.id, changeOf(form, source), source.etag);
    await cache.invalidateQueries({ queryKey: sourceKeys.all });
    notify(notice ?? "Saved. It counts from the next index run on.");
  };
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  return (
    <SourceFields
      start={formOf(source, zone)}
      source={source}
      action="Save"
      save={save}
      differs={(form) => Object.keys(changeOf(form, source)).length > 0}
      aside={
        <LinkButton to="/sources/new" search={{ from: source.id }} variant="default">
          Duplicate
        </LinkButton>
      }
    />
  );
}

function SettingsPage() {
  const { user } = Route.useRouteContext();
  const id = Number(Route.useParams().sourceId);
  const writes = user.role !== "viewer";
  return (
    <SourceFrame id={id} writes={writes}>
      {(source) =>
        writes ? (
          <Form key={source.revision} source={source} />
        ) : (
          <p className={classes.quiet}>Editors and administrators change this.</p>
        )
      }
    </SourceFrame>
  );
}
