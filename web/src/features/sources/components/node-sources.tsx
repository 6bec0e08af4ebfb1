import { useQueries } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { indexRunQuery } from "../api";

const most = 20;

/** The sources that a node indexes, each with the run of it. */
export function NodeSources({ runs, className }: { runs: number[]; className?: string | undefined }) {
  const loaded = useQueries({ queries: runs.slice(0, most).map((id) => indexRunQuery(id)) });
  const known = loaded.flatMap((q) => (q.data ? [q.data] : []));
  if (known.length === 0) return null;
  return (
    <span className={className}>
      {known.map((run, i) => (
        <span key={run.id}>
          {i > 0 && ", "}
          <Link to="/sources/$sourceId" params={{ sourceId: String(run.source_id) }} search={{ run: run.id }}>
            {run.source_name}
          </Link>
        </span>
      ))}
    </span>
  );
}
