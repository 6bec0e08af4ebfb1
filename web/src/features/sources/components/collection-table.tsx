import { Tooltip } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import type { Collection } from "../../../api/aliases";
import { bytes, count } from "../../../ui/format";
import table from "../../../ui/table.module.css";
import { Ago } from "../../../ui/time";
import { sharesOf } from "../collections";
import classes from "../sources.module.css";
import { KindIcon } from "./marks";

function Languages({ collection }: { collection: Collection }) {
  const shares = sharesOf(collection);
  if (shares.length === 0) return <span className={table.muted}>–</span>;
  return (
    <Tooltip
      label={shares.map((s) => `${s.name}: ${count(s.files)}`).join("\n")}
      style={{ whiteSpace: "pre-line" }}
    >
      <div>
        <div className={classes.shares} aria-hidden>
          {shares.map((s, i) => (
            <span key={s.name} data-n={i} style={{ width: `${s.share * 100}%` }} />
          ))}
        </div>
        <small className={classes.shareNames}>
          {shares
            .slice(0, 3)
            .map((s) => `${s.name} ${Math.round(s.share * 100)} %`)
            .join(", ")}
        </small>
      </div>
    </Tooltip>
  );
}

/** What searches see, by source. */
export function CollectionTable({ items }: { items: Collection[] }) {
  return (
    <table className={table.table}>
      <thead>
        <tr>
          <th aria-label="Kind" />
          <th>Collection</th>
          <th className={table.number}>Files</th>
          <th className={table.number}>Chunks</th>
          <th className={`${table.number} ${classes.wide}`}>Size</th>
          <th>Languages</th>
          <th>Vectors</th>
          <th className={classes.wide}>Indexed</th>
        </tr>
      </thead>
      <tbody>
        {items.map((c) => (
          <tr key={c.source_id} className={table.row}>
            <td className={classes.kindCell}>
              <KindIcon kind={c.kind} />
            </td>
            <td className={table.clip} style={{ width: "28%" }}>
              <Link
                className={table.link}
                to="/sources/$sourceId/files"
                params={{ sourceId: String(c.source_id) }}
              >
                {c.name}
              </Link>
            </td>
            <td className={table.number}>{count(c.files)}</td>
            <td className={table.number}>{count(c.chunks)}</td>
            <td className={`${table.number} ${classes.wide}`}>{bytes(c.bytes)}</td>
            <td className={classes.sharesCell}>
              <Languages collection={c} />
            </td>
            <td className={table.muted}>
              {c.embedder ? `${c.embedder.model}, ${c.embedder.dimensions}` : "None"}
            </td>
            <td className={`${table.muted} ${classes.wide}`}>
              <Ago at={c.indexed_at} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
