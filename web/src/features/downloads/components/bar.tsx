import classes from "../downloads.module.css";
import { percent } from "../model";

interface Props {
  size: number;
  ranges: number[][];
  done: number;
  label: string;
  tone?: "running" | "succeeded" | "failed" | undefined;
}

// A piece that is there is seen, however small its share of the file.
const least = 0.4;

/** A bar that shows which parts of a file are there. */
export function SegmentedBar({ size, ranges, done, label, tone = "running" }: Props) {
  return (
    <div
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.floor(size > 0 ? (done / size) * 100 : 100)}
      aria-valuetext={percent(done, size)}
      className={classes.bar}
      data-tone={tone}
    >
      {size === 0 && <span style={{ left: 0, width: "100%" }} />}
      {ranges.map(([from = 0, to = 0]) => (
        <span
          key={from}
          style={{
            left: `${(from / size) * 100}%`,
            width: `${Math.max(((to - from) / size) * 100, least)}%`,
          }}
        />
      ))}
    </div>
  );
}

/** A bar with one piece. */
export const PlainBar = ({ done, size, ...rest }: Omit<Props, "ranges">) => (
  <SegmentedBar size={size} done={done} ranges={done > 0 ? [[0, done]] : []} {...rest} />
);
