import type { Passage } from "../../../api/aliases";
import { positionWords } from "../../sources/model";
import { type Column, type Line, linesOf, nameOf, rankWords } from "../model";
import classes from "../playground.module.css";

const pitch = 46;

interface Props {
  columns: Column[];
  /** The chunk that is looked at, in every list. */
  at: number | null;
  onHover: (chunk: number | null) => void;
  onSelect: (passage: Passage) => void;
}

function Entry({
  passage,
  column,
  place,
  at,
  onHover,
  onSelect,
}: Omit<Props, "columns"> & { passage: Passage; column: Column; place: number }) {
  const score = column.score(passage);
  const share = score !== null && column.most > 0 ? Math.max(0, score / column.most) : 0;
  const where = positionWords(passage.position);
  return (
    <li style={{ height: pitch }}>
      <button
        type="button"
        className={classes.entry}
        data-at={passage.chunk_id === at || undefined}
        aria-label={`${place}. ${passage.path} ${where}. ${rankWords(passage)}`}
        onMouseEnter={() => onHover(passage.chunk_id)}
        onMouseLeave={() => onHover(null)}
        onFocus={() => onHover(passage.chunk_id)}
        onBlur={() => onHover(null)}
        onClick={() => onSelect(passage)}
      >
        <b>{place}</b>
        <span>
          <em title={passage.path}>{nameOf(passage.path)}</em>
          <small>
            {[where, passage.position.heading.at(-1)].filter(Boolean).join(" · ") || passage.source_name}
          </small>
        </span>
        <i aria-hidden title={score === null ? "" : score.toFixed(4)}>
          <span style={{ width: `${share * 100}%` }} />
        </i>
      </button>
    </li>
  );
}

function Lines({ lines, rows, at }: { lines: Line[]; rows: number; at: number | null }) {
  const y = (place: number) => place * pitch + pitch / 2;
  const marked = [...lines].sort((a, b) => Number(a.chunk === at) - Number(b.chunk === at));
  return (
    <svg
      className={classes.lines}
      viewBox={`0 0 40 ${rows * pitch}`}
      width={40}
      height={rows * pitch}
      preserveAspectRatio="none"
      aria-hidden
    >
      {marked.map((l) => (
        <path
          key={l.chunk}
          d={`M0 ${y(l.from)}C20 ${y(l.from)} 20 ${y(l.to)} 40 ${y(l.to)}`}
          data-at={l.chunk === at || undefined}
        />
      ))}
    </svg>
  );
}

/** The ranks by words, together and by meaning beside each other; the same chunk is joined by a line. */
export function Ranks({ columns, ...rest }: Props) {
  const rows = Math.max(1, ...columns.map((c) => c.items.length));
  return (
    <div className={classes.ranks} data-columns={columns.length}>
      {columns.map((column, i) => (
        <div key={column.key} className={classes.rankColumn} data-key={column.key}>
          {i > 0 && (
            <Lines lines={linesOf(columns[i - 1]?.items ?? [], column.items)} rows={rows} at={rest.at} />
          )}
          <section aria-label={column.label}>
            <h2>{column.label}</h2>
            <ol>
              {column.items.map((p, n) => (
                <Entry key={p.chunk_id} passage={p} column={column} place={n + 1} {...rest} />
              ))}
            </ol>
          </section>
        </div>
      ))}
    </div>
  );
}
