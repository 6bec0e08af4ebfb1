// Small charts without a library. They say in words what they show.

import classes from "./charts.module.css";

export interface Line {
  values: number[];
  color: string;
}

const width = 100;

/** The points of a line, the fullest value at the top. */
export function points(values: number[], most: number, height: number): string {
  const step = values.length > 1 ? width / (values.length - 1) : 0;
  return values
    .map((v, i) => `${(i * step).toFixed(2)},${(height - (v / most) * height).toFixed(2)}`)
    .join(" ");
}

/** Lines over the same time, on one scale. */
export function Sparkline({ lines, label, height = 28 }: { lines: Line[]; label: string; height?: number }) {
  const most = Math.max(1, ...lines.flatMap((l) => l.values));
  return (
    <svg
      className={classes.spark}
      viewBox={`0 0 ${width} ${height}`}
      preserveAspectRatio="none"
      width="100%"
      height={height}
      role="img"
      aria-label={label}
    >
      {lines.map(({ values, color }) => (
        <g key={color}>
          <polygon
            className={classes.area}
            fill={color}
            points={`0,${height} ${points(values, most, height)} ${width},${height}`}
          />
          <polyline className={classes.line} stroke={color} points={points(values, most, height)} />
        </g>
      ))}
    </svg>
  );
}

/** A distribution: one bar for each bucket. */
export function Buckets({ counts, label }: { counts: number[]; label: string }) {
  const most = Math.max(1, ...counts);
  return (
    <div className={classes.bars} role="img" aria-label={label}>
      {counts.map((n, i) => (
        <span
          // biome-ignore lint/suspicious/noArrayIndexKey: a bucket is its place
          key={i}
          style={{ height: n === 0 ? 0 : `${Math.max(8, (n / most) * 100)}%` }}
        />
      ))}
    </div>
  );
}

interface HeatProps {
  /** By time, then by bucket, the lowest first. */
  rows: number[][];
  /** What each bucket is, the lowest first. */
  buckets: string[];
  from: string;
  to: string;
  label: string;
  color?: string;
}

const cell = 8;

/** How full each bucket was over time; a fuller one is stronger. */
export function HeatMap({ rows, buckets, from, to, label, color = "var(--st-cached)" }: HeatProps) {
  const most = Math.max(1, ...rows.flat());
  const height = buckets.length * cell;
  return (
    <div className={classes.heat}>
      <div className={classes.heatAxis} aria-hidden>
        <span>{buckets.at(-1)}</span>
        <span>{buckets[Math.floor(buckets.length / 2)]}</span>
        <span>{buckets[0]}</span>
      </div>
      <svg
        viewBox={`0 0 ${rows.length * cell} ${height}`}
        height={height}
        preserveAspectRatio="none"
        role="img"
        aria-label={label}
      >
        {rows.flatMap((row, x) =>
          row.map((n, y) =>
            n === 0 ? null : (
              <rect
                // biome-ignore lint/suspicious/noArrayIndexKey: a cell is its place
                key={`${x} ${y}`}
                x={x * cell}
                y={height - (y + 1) * cell}
                width={cell - 1}
                height={cell - 1}
                fill={color}
                fillOpacity={shade(n, most)}
              >
                <title>{`${buckets[y]}: ${n}`}</title>
              </rect>
            ),
          ),
        )}
      </svg>
      <div className={classes.heatTime}>
        <span>{from}</span>
        <span>{to}</span>
      </div>
    </div>
  );
}

/** Few are seen beside many: the scale is that of the logarithm. */
export const shade = (n: number, most: number): number =>
  Number((0.2 + (0.8 * Math.log1p(n)) / Math.log1p(most)).toFixed(3));
