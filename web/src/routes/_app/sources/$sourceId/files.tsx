import { useInfiniteQuery } from "@tanstack/react-query";
import { createFileRoute, notFound, useNavigate } from "@tanstack/react-router";
import { collectionsQuery, type FileFilter, sourceFilesQuery } from "../../../../features/sources/api";
import { ChunkList } from "../../../../features/sources/components/chunk-list";
import { FileList } from "../../../../features/sources/components/file-list";
import { SourceFrame } from "../../../../features/sources/components/source-frame";
import classes from "../../../../features/sources/sources.module.css";

interface Search extends FileFilter {
  /** The file whose chunks are shown, and the one of them that was linked to. */
  file?: number;
  chunk?: number;
  /** A file that was linked to by its path, whatever its number is now. */
  path?: string;
  /** The chunk in it: its key, and where it stands should it have changed since. */
  key?: string;
  at?: string;
}

const text = (value: unknown): string => (typeof value === "string" ? value.slice(0, 1_000) : "");

export const Route = createFileRoute("/_app/sources/$sourceId/files")({
  validateSearch: (search): Search => {
    const q = text(search.q);
    const language = text(search.language);
    const kind = text(search.kind);
    const file = Number(search.file);
    const chunk = Number(search.chunk);
    const path = text(search.path);
    const key = text(search.key);
    const at = text(search.at);
    return {
      ...(q && { q }),
      ...(language && { language }),
      ...(kind && { kind }),
      ...(Number.isInteger(file) && file > 0 && { file }),
      ...(Number.isInteger(chunk) && chunk > 0 && { chunk }),
      ...(path && { path }),
      ...(key && { key }),
      ...(at && { at }),
    };
  },
  beforeLoad: ({ params }) => {
    if (!/^[1-9]\d{0,15}$/.test(params.sourceId)) throw notFound();
  },
  component: FilesPage,
});

function FilesPage() {
  const { user } = Route.useRouteContext();
  const id = Number(Route.useParams().sourceId);
  const { file: chosen, chunk, path, key, at, ...filter } = Route.useSearch();
  const navigate = useNavigate({ from: Route.fullPath });
  const collections = useInfiniteQuery(collectionsQuery);
  const own = collections.data?.pages.flatMap((page) => page.items).find((c) => c.source_id === id);
  const linked = useInfiniteQuery({
    ...sourceFilesQuery(id, { q: path ?? "" }),
    enabled: path !== undefined && chosen === undefined,
  });
  const found = linked.data?.pages.flatMap((page) => page.items).find((f) => f.path === path);
  const file = chosen ?? found?.id;
  const go = (search: Search) => void navigate({ search, replace: true, resetScroll: false });
  return (
    <SourceFrame id={id} writes={user.role !== "viewer"}>
      {() => (
        <div className={classes.browser}>
          <FileList
            source={id}
            filter={filter}
            languages={own?.languages.map((l) => l.language).filter(Boolean) ?? []}
            kinds={own?.kinds.map((k) => k.kind) ?? []}
            open={file}
            onFilter={(next) => go({ ...next, ...(file !== undefined && { file }) })}
            onOpen={(next) => go({ ...filter, file: next })}
          />
          {file === undefined ? (
            <p className={classes.quiet} role={path ? "status" : undefined}>
              {path && linked.isSuccess
                ? `${path} is no longer in the index.`
                : "Choose a file to see the chunks that it was cut into."}
            </p>
          ) : (
            <ChunkList key={file} file={file} wanted={{ id: chunk, key, at }} />
          )}
        </div>
      )}
    </SourceFrame>
  );
}
