import classes from "../sources.module.css";

interface Props {
  done: number;
  of: number;
  label: string;
  tone?: "running" | "waiting" | "succeeded" | "failed";
}

export function Bar({ done, of, label, tone = "running" }: Props) {
  const percent = of <= 0 ? 0 : Math.min(100, (done / of) * 100);
  return (
    <div
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.floor(percent)}
      className={classes.bar}
      data-tone={tone}
    >
      <span style={{ width: `${percent}%` }} />
    </div>
  );
}
