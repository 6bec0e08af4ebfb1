import { Link } from "@tanstack/react-router";
import classes from "../sources.module.css";

/** The pages of retrieval beside each other. */
export function RetrievalTabs({ manages }: { manages: boolean }) {
  return (
    <nav className={classes.tabs} aria-label="Retrieval">
      <Link to="/sources" activeOptions={{ exact: true, includeSearch: false }} activeProps={active}>
        Sources
      </Link>
      <Link to="/sources/collections" activeProps={active}>
        Collections
      </Link>
      <Link to="/playground" activeProps={active}>
        Playground
      </Link>
      {manages && (
        <Link to="/sources/searches" activeOptions={{ includeSearch: false }} activeProps={active}>
          Searches
        </Link>
      )}
    </nav>
  );
}

export const active = { "data-active": true, "aria-current": "page" } as const;
