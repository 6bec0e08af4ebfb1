import { useElementSize } from "@mantine/hooks";
import { type KeyboardEvent, type MouseEvent, useMemo, useRef, useState } from "react";
import type { IndexFile } from "../../../api/aliases";
import { bytes } from "../../../ui/format";
import { cellAt, cellStates, gridOf, moveIn, stateOf, tallyOf } from "../grid";
import classes from "../sources.module.css";

interface Props {
  files: IndexFile[];
  /** The file whose lines are shown below, by its path. */
  onOpen: (file: IndexFile) => void;
}

const overscan = 6;

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

const words = (f: IndexFile): string =>
  `${f.path}: ${cellStates.find((s) => s.key === stateOf(f))?.label ?? f.status}, ${bytes(f.size)}${f.error ? `. ${f.error.message}` : ""}`;

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
  const shown = files.slice(first * grid.columns, last * grid.columns);
  const named = files[at ?? focused];

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
          onScroll={(e) => setTop(e.currentTarget.scrollTop)}
        >
          <div
            role="listbox"
            tabIndex={0}
            aria-label="Files of this run"
            aria-activedescendant={named ? `cell-${files.indexOf(named)}` : undefined}
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
            {shown.map((file, i) => {
              const index = first * grid.columns + i;
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
                  data-named={index === at || undefined}
                  style={{
                    left: (index % grid.columns) * grid.pitch,
                    top: Math.floor(index / grid.columns) * grid.pitch,
                  }}
                >
                  {cellStates.find((s) => s.key === state)?.sign}
                </span>
              );
            })}
          </div>
        </div>
      </div>
      <p className={classes.named} aria-live="polite">
        {named ? words(named) : "No files."}
      </p>
    </div>
  );
}
