import { IconAlertTriangle } from "@tabler/icons-react";
import type { Retrieved } from "../../../api/aliases";
import { Markdown } from "../../../ui/markdown/markdown";
import { positionWords } from "../../sources/model";
import { nameOf } from "../model";
import classes from "../playground.module.css";

interface Props {
  retrieved: Retrieved;
  at: number | null;
  onHover: (chunk: number | null) => void;
  onSelect: (chunk: number) => void;
}

/** The answer that a model wrote from the passages, with the passages that it names. */
export function Answer({ retrieved, at, onHover, onSelect }: Props) {
  const { answer, citations = [], synthesis_error: fault, results } = retrieved;
  if (fault)
    return (
      <div className={classes.noAnswer} role="alert">
        <IconAlertTriangle size={16} aria-hidden /> No answer was written: {fault.message}
      </div>
    );
  if (!answer) return null;
  return (
    <section className={classes.answer} aria-label="Answer">
      <Markdown text={answer} />
      {citations.length > 0 && (
        <ul aria-label="Sources of the answer">
          {citations.map((c) => {
            const p = results[c.result_index];
            if (!p) return null;
            return (
              <li key={c.number}>
                <button
                  type="button"
                  data-at={p.chunk_id === at || undefined}
                  onMouseEnter={() => onHover(p.chunk_id)}
                  onMouseLeave={() => onHover(null)}
                  onFocus={() => onHover(p.chunk_id)}
                  onBlur={() => onHover(null)}
                  onClick={() => onSelect(p.chunk_id)}
                >
                  <b>{c.number}</b> {nameOf(p.path)} <small>{positionWords(p.position)}</small>
                </button>
              </li>
            );
          })}
        </ul>
      )}
    </section>
  );
}
