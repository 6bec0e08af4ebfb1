import { Button } from "@mantine/core";
import { IconCheck, IconCornerLeftUp, IconFolder } from "@tabler/icons-react";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { ErrorNotice, Lines } from "../../../ui/feedback";
import { foldersQuery, localRootsQuery } from "../api";
import { parentIn } from "../paths";
import classes from "../sources.module.css";

interface Props {
  chosen: string;
  onChoose: (path: string) => void;
}

function Folders({
  at,
  root,
  chosen,
  onGo,
  onChoose,
}: Props & { at: string; root: string; onGo: (path: string | null) => void }) {
  const found = useQuery({ ...foldersQuery(at), placeholderData: keepPreviousData });
  return (
    <>
      <div className={classes.pickerHead}>
        <code title={at}>{at}</code>
        <Button
          size="compact-xs"
          variant={chosen === at ? "light" : "default"}
          leftSection={chosen === at && <IconCheck size={13} />}
          onClick={() => onChoose(at)}
        >
          {chosen === at ? "Chosen" : "Choose this folder"}
        </Button>
      </div>
      {found.isError && <ErrorNotice error={found.error} onRetry={() => void found.refetch()} />}
      {found.isPending && <Lines n={3} height={24} />}
      <ul className={classes.folders} aria-label={`Folders in ${at}`}>
        <li>
          <button type="button" onClick={() => onGo(parentIn(at, root))}>
            <IconCornerLeftUp size={15} aria-hidden /> {at === root ? "All allowed folders" : "Up"}
          </button>
        </li>
        {found.data?.folders.map((f) => (
          <li key={f.path}>
            <button type="button" onClick={() => onGo(f.path)}>
              <IconFolder size={15} aria-hidden /> {f.name}
            </button>
          </li>
        ))}
        {found.data?.folders.length === 0 && <li className={classes.quiet}>No folders in here.</li>}
      </ul>
    </>
  );
}

/** The folders that sources may be made of, to walk through. */
export function FolderPicker({ chosen, onChoose }: Props) {
  const roots = useQuery(localRootsQuery);
  const [at, setAt] = useState<string | null>(null);
  if (roots.isError) return <ErrorNotice error={roots.error} onRetry={() => void roots.refetch()} />;
  if (roots.isPending) return <Lines n={2} height={28} />;
  const all = roots.data.roots;
  if (all.length === 0)
    return (
      <p className={classes.quiet}>
        No folder is allowed yet. An administrator names the allowed ones in LLMCTL_STUDIO_RAG_LOCAL_ROOTS.
      </p>
    );
  const root =
    at === null
      ? undefined
      : all.find((r) => at === r.path || at.startsWith(`${r.path.replace(/\/$/, "")}/`));
  return (
    <div className={classes.picker}>
      {at !== null && root ? (
        <Folders at={at} root={root.path} chosen={chosen} onGo={setAt} onChoose={onChoose} />
      ) : (
        <ul className={classes.folders} aria-label="Allowed folders">
          {all.map((r) => (
            <li key={r.path}>
              <button
                type="button"
                disabled={!r.exists}
                onClick={() => {
                  setAt(r.path);
                  if (chosen === "") onChoose(r.path);
                }}
              >
                <IconFolder size={15} aria-hidden /> {r.path}
                {!r.exists && <em>is not there</em>}
              </button>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}
