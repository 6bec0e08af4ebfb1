import "@mantine/core/styles/Popover.css";
import { HoverCard } from "@mantine/core";
import { IconFileText } from "@tabler/icons-react";
import { Link } from "@tanstack/react-router";
import type { Citation } from "../../../api/aliases";
import classes from "./message.module.css";

const nameOf = (path: string): string => path.slice(path.lastIndexOf("/") + 1) || path;

/** What an answer rests on: the passages, on hover or focus. */
export function Citations({ items }: { items: Citation[] }) {
  if (items.length === 0) return null;
  return (
    <ul className={classes.citations} aria-label="Sources of the answer">
      {items.map((c) => (
        <li key={`${c.number} ${c.path} ${c.position ?? ""}`}>
          <HoverCard width={420} shadow="md" openDelay={150} position="top-start">
            <HoverCard.Target>
              <button type="button" className={classes.citation}>
                <b>{c.number}</b>
                <span>{nameOf(c.path)}</span>
              </button>
            </HoverCard.Target>
            <HoverCard.Dropdown className={classes.passage}>
              <div>
                <IconFileText size={15} aria-hidden />
                <code>{c.path}</code>
                {c.position && <span>{c.position}</span>}
              </div>
              <p>{c.text}</p>
              <Link
                className={classes.passageLink}
                to="/sources/$sourceId/files"
                params={{ sourceId: String(c.source_id) }}
                search={{ path: c.path }}
              >
                Its chunks in the index
              </Link>
            </HoverCard.Dropdown>
          </HoverCard>
        </li>
      ))}
    </ul>
  );
}
