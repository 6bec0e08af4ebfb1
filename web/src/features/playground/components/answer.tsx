import { IconAlertTriangle } from "@tabler/icons-react";
import { useMemo } from "react";
import type { Retrieved } from "../../../api/aliases";
import { Markdown } from "../../../ui/markdown/markdown";
import { MarkContext, type MarkOf } from "../../../ui/markdown/marks";
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
  const markOf = useMemo(
    (): MarkOf => (n) => {
      const p = results[n - 1];
      if (!p) return null;
      return (
        <button
          type="button"
          className={classes.mark}
          aria-label={`Passage ${n}: ${nameOf(p.path)}`}
          onMouseEnter={() => onHover(p.chunk_id)}
          onMouseLeave={() => onHover(null)}
          onFocus={() => onHover(p.chunk_id)}
          onBlur={() => onHover(null)}
          onClick={() => onSelect(p.chunk_id)}
        >
          {n}
        </button>
      );
    },
    [results, onHover, onSelect],
  );
  if (fault)
    return (
      <div className={classes.noAnswer} role="alert">
        <IconAlertTriangle size={16} aria-hidden /> No answer was written: {fault.message}
      </div>
    );
  if (!answer) return null;
  return (
    <section className={classes.answer} aria-label="Answer">
      <MarkContext value={markOf}>
        <Markdown text={answer} />
      </MarkContext>
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
