import { Link } from "@tanstack/react-router";
import type { SourceKind } from "../../../api/aliases";
import { sourceKinds } from "../filter";
import { kindLabels } from "../model";
import classes from "../sources.module.css";
import { KindIcon } from "./marks";

const kindTexts: Record<SourceKind, string> = {
  local: "A folder of this machine, of those that are allowed",
  git: "Any repository, by HTTPS or SSH; a branch, a subfolder",
  google_drive: "A folder with its documents, read by a service account",
};

/** The kinds of sources as links to a new one of it. */
export function KindLinks({ chosen }: { chosen?: SourceKind }) {
  return (
    <nav className={classes.kinds} aria-label="Kinds of sources">
      {sourceKinds.map((kind) => (
        <Link
          key={kind}
          to="/sources/new"
          search={{ kind }}
          replace={chosen !== undefined}
          className={classes.kindCard}
          data-active={kind === chosen || undefined}
          aria-current={kind === chosen ? "true" : undefined}
        >
          <KindIcon kind={kind} size={22} />
          <b>{kindLabels[kind]}</b>
          <span>{kindTexts[kind]}</span>
        </Link>
      ))}
    </nav>
  );
}
