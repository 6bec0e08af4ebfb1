import { useRef } from "react";
import classes from "../downloads.module.css";
import { sparkPath, speed } from "../model";

const points = 90;
const width = 220;
const height = 36;

/** The speeds since the page is open, one point a report. */
export function Sparkline({ value, at }: { value: number; at: number }) {
  const history = useRef<{ at: number; values: number[] }>({ at: -1, values: [] });
  if (history.current.at !== at) {
    history.current = { at, values: [...history.current.values, value].slice(-points) };
  }
  const { values } = history.current;
  const line = sparkPath(values, width, height);
  return (
    <svg
      viewBox={`0 0 ${width} ${height}`}
      className={classes.spark}
      role="img"
      aria-label={`Speed, now ${speed(value)}`}
    >
      {line && <path d={`${line}L${width} ${height}L0 ${height}Z`} className={classes.sparkArea} />}
      {line && <path d={line} className={classes.sparkLine} />}
    </svg>
  );
}
