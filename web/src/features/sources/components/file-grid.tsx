import { useElementSize } from "@mantine/hooks";
import { type KeyboardEvent, type MouseEvent, memo, useMemo, useRef, useState } from "react";
import type { IndexFile } from "../../../api/aliases";
import { bytes } from "../../../ui/format";
import { cellAt, cellStates, gridOf, moveIn, stateOf, tallyOf } from "../grid";
import classes from "../sources.module.css";

interface Props {
  files: IndexFile[];
  /** The file whose lines are shown below, by its path. */
  onOpen: (file: IndexFile) => void;
}

const overscan = 4;

function Legend({ files }: { files: IndexFile[] }) {
  const tally = useMemo(() => tallyOf(files), [files]);
  return (
    <ul className={classes.legend} aria-label="What the colours mean">
      {cellStates
        .filter((s) => tally[s.key] > 0)
        .map((s) => (
          <li key={s.key}>
            <span className={classes.cell} data-state={s.key} aria-hidden>
              {s.sign}
            </span>
            {s.label} <b>{tally[s.key].toLocaleString("en")}</b>
          </li>
        ))}
    </ul>
  );
}

const signs = Object.fromEntries(cellStates.map((s) => [s.key, s.sign]));
const labels = Object.fromEntries(cellStates.map((s) => [s.key, s.label]));

const words = (f: IndexFile): string =>
  `${f.path}: ${labels[stateOf(f)] ?? f.status}, ${bytes(f.size)}${f.error ? `. ${f.error.message}` : ""}`;

interface RowProps {
  files: IndexFile[];
  row: number;
  columns: number;
  pitch: number;
  /** The file that is pointed at and the one that keys are at, if they are in this row; -1: they are not. */
  pointed: number;
  focused: number;
}

/** A row is made once: scrolling only adds those that come into sight. */
const Row = memo(function Row({ files, row, columns, pitch, pointed, focused }: RowProps) {
  const first = row * columns;
  return (
    <div className={classes.gridRow} style={{ top: row * pitch }}>
      {files.slice(first, first + columns).map((file, column) => {
        const index = first + column;
        const state = stateOf(file);
        return (
          <span
            key={file.path}
            id={`cell-${index}`}
            role="option"
            tabIndex={-1}
            aria-selected={index === focused}
            aria-label={words(file)}
            className={classes.cell}
            data-state={state}
            data-named={index === pointed || undefined}
            style={{ left: column * pitch }}
          >
            {signs[state]}
          </span>
        );
      })}
    </div>
  );
});

/** One cell for each file. Only the rows that are seen are drawn, so tens of thousands stay smooth. */
export function FileGrid({ files, onOpen }: Props) {
  const { ref: measured, width } = useElementSize();
  const [top, setTop] = useState(0);
  const [at, setAt] = useState<number | null>(null);
  const [focused, setFocused] = useState(0);
  const box = useRef<HTMLDivElement>(null);
  const grid = gridOf(files.length, width);
  const first = Math.max(0, Math.floor(top / grid.pitch) - overscan);
  const last = Math.min(grid.rows, Math.ceil((top + grid.view) / grid.pitch) + overscan);
  const rows = Array.from({ length: Math.max(0, last - first) }, (_, i) => first + i);
  const active = at ?? focused;
  const named = files[active];
  const within = (index: number | null, row: number): number =>
    index !== null && Math.floor(index / grid.columns) === row ? index : -1;

  const indexAt = (e: MouseEvent): number | null => {
    const place = e.currentTarget.getBoundingClientRect();
    return cellAt(grid, files.length, e.clientX - place.left, e.clientY - place.top);
  };
  const onKeyDown = (e: KeyboardEvent) => {
    const file = files[focused];
    if ((e.key === "Enter" || e.key === " ") && file) {
      e.preventDefault();
      onOpen(file);
      return;
    }
    const next = moveIn(grid, files.length, focused, e.key);
    if (next === null) return;
    e.preventDefault();
    setFocused(next);
    setAt(null);
    const row = Math.floor(next / grid.columns) * grid.pitch;
    const view = box.current;
    if (view && row < view.scrollTop) view.scrollTop = row;
    else if (view && row + grid.pitch > view.scrollTop + grid.view)
      view.scrollTop = row + grid.pitch - grid.view;
  };
  return (
    <div className={classes.gridBox}>
      <Legend files={files} />
      <div ref={measured}>
        <div
          ref={box}
          className={classes.gridView}
          style={{ height: grid.view }}
          onScroll={(e) => setTop(e.currentTarget.scrollTop - (e.currentTarget.scrollTop % grid.pitch))}
        >
          <div
            role="listbox"
            tabIndex={0}
            aria-label="Files of this run"
            aria-activedescendant={named ? `cell-${active}` : undefined}
            className={classes.grid}
            style={{ height: grid.rows * grid.pitch }}
            onMouseMove={(e) => setAt(indexAt(e))}
            onMouseLeave={() => setAt(null)}
            onClick={(e) => {
              const file = files[indexAt(e) ?? -1];
              if (file) onOpen(file);
            }}
            onKeyDown={onKeyDown}
          >
            {rows.map((row) => (
              <Row
                key={row}
                files={files}
                row={row}
                columns={grid.columns}
                pitch={grid.pitch}
                pointed={within(at, row)}
                focused={within(focused, row)}
              />
            ))}
          </div>
        </div>
      </div>
      <p className={classes.named} aria-live="polite">
        {named ? words(named) : "No files."}
      </p>
    </div>
  );
}
