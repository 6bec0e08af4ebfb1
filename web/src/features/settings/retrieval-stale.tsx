import { IconAlertTriangle } from "@tabler/icons-react";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { collectionsQuery, healthQuery } from "../sources/api";
import { staleOf } from "./retrieval";
import classes from "./settings.module.css";

const named = 5;

/** The sources that are searched by words alone, since the model was changed after they were indexed. */
export function StaleSources() {
  const health = useQuery(healthQuery);
  const list = useInfiniteQuery(collectionsQuery);
  const embedder = health.data?.embedder;
  const stale = embedder?.configured
    ? staleOf(list.data?.pages.flatMap((page) => page.items) ?? [], embedder.model)
    : [];
  if (stale.length === 0) return null;
  const rest = stale.length - named;
  return (
    <div className={classes.stale} role="status">
      <IconAlertTriangle size={16} aria-hidden />
      <div>
        Searched by words alone until {stale.length === 1 ? "it is" : "they are"} indexed again with{" "}
        {embedder?.model}:{" "}
        {stale.slice(0, named).map((c, i) => (
          <span key={c.source_id}>
            {i > 0 && ", "}
            <Link to="/sources/$sourceId" params={{ sourceId: String(c.source_id) }}>
              {c.name}
            </Link>
          </span>
        ))}
        {rest > 0 && ` and ${rest} more`}.
      </div>
    </div>
  );
}

/** What saving would do to what is indexed. */
export function Effects({ items }: { items: string[] }) {
  if (items.length === 0) return null;
  return (
    <ul className={classes.effects} aria-label="What saving does">
      {items.map((text) => (
        <li key={text}>
          <IconAlertTriangle size={15} aria-hidden /> {text}
        </li>
      ))}
    </ul>
  );
}
