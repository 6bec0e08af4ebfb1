import { type ReactNode, useMemo } from "react";
import type { Citation } from "../../../api/aliases";
import { MarkContext, type MarkOf } from "../../../ui/markdown/marks";
import { marksIn } from "../../../ui/markdown/split-marks";
import type { Piece } from "../model";
import classes from "./citations.module.css";
import { CitedPassage } from "./cited-passage";

const nameOf = (path: string): string => path.slice(path.lastIndexOf("/") + 1) || path;
const labelOf = (c: Citation): string => `Passage ${c.number}: ${nameOf(c.path)}`;

/** Makes the numbers in an answer's text lead to the passages that they stand for. */
export function Cited({ items, children }: { items: Citation[]; children: ReactNode }) {
  const markOf = useMemo((): MarkOf | null => {
    if (items.length === 0) return null;
    const known = new Map(items.map((c) => [c.number, c]));
    return (n) => {
      const citation = known.get(n);
      return citation ? (
        <CitedPassage citation={citation} className={classes.mark} label={labelOf(citation)}>
          {n}
        </CitedPassage>
      ) : null;
    };
  }, [items]);
  return <MarkContext value={markOf}>{children}</MarkContext>;
}

/** What was given to the model for an answer; what its text does not name stands back. */
export function Citations({ items, pieces }: { items: Citation[]; pieces: Piece[] }) {
  const named = useMemo(
    () => marksIn(pieces.map((p) => (p.kind === "text" ? p.text : "")).join("\n")),
    [pieces],
  );
  if (items.length === 0) return null;
  const some = items.some((c) => named.has(c.number));
  return (
    <ul className={classes.citations} aria-label="Sources of the answer">
      {items.map((c) => {
        const unused = some && !named.has(c.number);
        return (
          <li key={`${c.number} ${c.path} ${c.position ?? ""}`}>
            <CitedPassage
              citation={c}
              className={classes.citation}
              label={unused ? `${labelOf(c)}, not named in the answer` : labelOf(c)}
              unused={unused}
            >
              <b>{c.number}</b>
              <span>{nameOf(c.path)}</span>
            </CitedPassage>
          </li>
        );
      })}
    </ul>
  );
}
