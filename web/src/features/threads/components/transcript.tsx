import { Button } from "@mantine/core";
import { IconArrowDown } from "@tabler/icons-react";
import { useVirtualizer } from "@tanstack/react-virtual";
import { type ReactNode, useCallback, useEffect, useRef, useState } from "react";
import classes from "./transcript.module.css";

const nearEnd = 48;
const nearStart = 600;

interface Props<T> {
  items: readonly T[];
  keyOf: (item: T) => string;
  children: (item: T) => ReactNode;
  /** Above the first item, for as long as there is more. */
  head?: ReactNode;
  /** There is more before the first item: load it. */
  onStart?: (() => void) | undefined;
  /** The item to begin at, in place of the newest. */
  startAt?: number | undefined;
  /** Grows when the end is to be shown, wherever the reader is. */
  toEnd: number;
  /** The last item is not the newest: whoever shows this offers another way there. */
  bounded: boolean;
  /** Something is being written. */
  live: boolean;
  label: string;
}

/**
 * A conversation of any length, of which only what can be seen exists. It stays at
 * its newest line while that grows, until the reader scrolls up; what is put before
 * or above what is read does not move it.
 */
export function Transcript<T>({
  items,
  keyOf,
  children,
  head,
  onStart,
  startAt,
  toEnd,
  bounded,
  live,
  label,
}: Props<T>) {
  const box = useRef<HTMLDivElement>(null);
  const [atEnd, setAtEnd] = useState(true);
  const getItemKey = useCallback(
    (i: number) => {
      const item = items[i];
      return item === undefined ? i : keyOf(item);
    },
    [items, keyOf],
  );
  const rows = useVirtualizer({
    count: items.length,
    getScrollElement: () => box.current,
    estimateSize: () => 160,
    getItemKey,
    overscan: 4,
    paddingStart: 16,
    paddingEnd: 16,
    anchorTo: "end",
    followOnAppend: true,
    scrollEndThreshold: nearEnd,
  });
  const begun = useRef(false);
  useEffect(() => {
    if (begun.current || items.length === 0) return;
    begun.current = true;
    if (startAt !== undefined && startAt >= 0) rows.scrollToIndex(startAt, { align: "center" });
    else rows.scrollToEnd();
  }, [items.length, rows, startAt]);
  useEffect(() => {
    if (toEnd > 0) rows.scrollToEnd();
  }, [toEnd, rows]);
  const look = () => {
    const at = box.current;
    if (!at) return;
    setAtEnd(at.scrollHeight - at.scrollTop - at.clientHeight <= nearEnd);
    if (begun.current && at.scrollTop < nearStart) onStart?.();
  };
  return (
    <div className={classes.frame}>
      <div
        ref={box}
        className={classes.scroll}
        role="log"
        aria-label={label}
        aria-live="polite"
        aria-relevant="additions"
        aria-busy={live}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, also by keyboard
        tabIndex={0}
        onScroll={look}
        data-transcript
      >
        {head}
        <div className={classes.rows} style={{ height: rows.getTotalSize() }}>
          {rows.getVirtualItems().map((row) => {
            const item = items[row.index];
            return (
              item !== undefined && (
                <div
                  key={row.key}
                  data-index={row.index}
                  ref={rows.measureElement}
                  className={classes.row}
                  style={{ transform: `translateY(${row.start}px)` }}
                >
                  {children(item)}
                </div>
              )
            );
          })}
        </div>
      </div>
      {!atEnd && !bounded && items.length > 0 && (
        <Button
          variant="default"
          className={classes.newest}
          leftSection={<IconArrowDown size={14} />}
          data-live={live || undefined}
          onClick={() => rows.scrollToEnd({ behavior: "auto" })}
        >
          Jump to newest
        </Button>
      )}
    </div>
  );
}
