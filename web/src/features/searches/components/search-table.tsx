import { Link } from "@tanstack/react-router";
import type { Retrieval } from "../../../api/aliases";
import { duration } from "../../../ui/format";
import table from "../../../ui/table.module.css";
import { Ago } from "../../../ui/time";
import { foundWords, originLabels } from "../model";
import classes from "../searches.module.css";

/** What was asked, the newest first. */
export function SearchTable({ items }: { items: Retrieval[] }) {
  return (
    <table className={table.table}>
      <thead>
        <tr>
          <th>Question</th>
          <th>By way of</th>
          <th className={classes.wide}>Who</th>
          <th>Found</th>
          <th className={table.number}>Took</th>
          <th>Asked</th>
        </tr>
      </thead>
      <tbody>
        {items.map((r) => (
          <tr key={r.id} className={table.row}>
            <td className={table.clip} style={{ width: "46%" }}>
              <Link
                className={table.link}
                to="/sources/searches/$searchId"
                params={{ searchId: String(r.id) }}
                title={r.question}
              >
                {r.question}
              </Link>
              <div className={table.sub}>{r.results[0]?.path ?? "No passage"}</div>
            </td>
            <td className={table.muted}>{originLabels[r.origin]}</td>
            <td className={`${table.muted} ${classes.wide}`}>{r.user ?? "–"}</td>
            <td className={table.muted} data-none={r.results.length === 0 || undefined}>
              {foundWords(r.results)}
            </td>
            <td className={table.number}>{duration(r.stats.total_ms)}</td>
            <td className={table.muted}>
              <Ago at={r.at} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
