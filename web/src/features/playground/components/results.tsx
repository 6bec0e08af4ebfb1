import { useHotkeys } from "@mantine/hooks";
import { IconAbc, IconAlertTriangle, IconSearchOff } from "@tabler/icons-react";
import { useCallback, useMemo, useState } from "react";
import type { Passage, Retrieved } from "../../../api/aliases";
import { Empty } from "../../../ui/feedback";
import { count, duration } from "../../../ui/format";
import { columnsOf, correctionOf, timingsOf, usageOf } from "../model";
import classes from "../playground.module.css";
import { Answer } from "./answer";
import { PassageView } from "./passage-view";
import { Ranks } from "./ranks";

const modeWords: Record<string, string> = {
  hybrid: "by words and meaning",
  lexical: "by words",
  vector: "by meaning",
};

function Stats({ retrieved }: { retrieved: Retrieved }) {
  const { stats, results } = retrieved;
  const timings = timingsOf(stats);
  const total = Math.max(
    1,
    timings.reduce((sum, t) => sum + t.ms, 0),
  );
  return (
    <div className={classes.stats}>
      <span role="status">
        {count(results.length)} of {count(stats.candidates)} candidates, {modeWords[stats.mode] ?? stats.mode}
        , in <b>{duration(stats.total_ms)}</b>
      </span>
      <span className={classes.timings}>
        {timings.map((t) => (
          <span key={t.key} data-part={t.key} style={{ flexGrow: t.ms / total }}>
            {t.label} {duration(t.ms)}
          </span>
        ))}
      </span>
      {stats.embedder && (
        <span>
          {stats.embedder.model}, {stats.embedder.dimensions} dimensions,{" "}
          {stats.vector_backend === "pgvector" ? "pgvector" : "exact search"}
        </span>
      )}
      {usageOf(stats.usage) && <span>{usageOf(stats.usage)}</span>}
    </div>
  );
}

function Corrections({ corrections }: Pick<Retrieved["stats"], "corrections">) {
  if (corrections.length === 0) return null;
  return (
    <ul className={classes.warnings} aria-label="Other spellings">
      {corrections.map((c) => (
        <li key={c.word}>
          <IconAbc size={15} aria-hidden /> {correctionOf(c)}
        </li>
      ))}
    </ul>
  );
}

function Warnings({ warnings }: { warnings: string[] }) {
  if (warnings.length === 0) return null;
  return (
    <ul className={classes.warnings} aria-label="Warnings">
      {warnings.map((w) => (
        <li key={w}>
          <IconAlertTriangle size={15} aria-hidden /> {w}
        </li>
      ))}
    </ul>
  );
}

/** What was found, in all its orders. */
export function Results({ retrieved }: { retrieved: Retrieved }) {
  const columns = useMemo(() => columnsOf(retrieved), [retrieved]);
  const [selected, setSelected] = useState<Passage | undefined>(retrieved.results[0]);
  const [hovered, setHovered] = useState<number | null>(null);
  const select = useCallback(
    (chunk: number) => setSelected(retrieved.results.find((p) => p.chunk_id === chunk)),
    [retrieved],
  );
  const move = (by: number) => {
    const list = retrieved.results;
    const now = list.findIndex((p) => p.chunk_id === selected?.chunk_id);
    const next = list[Math.min(list.length - 1, Math.max(0, now + by))];
    if (next) setSelected(next);
  };
  useHotkeys([
    ["j", () => move(1)],
    ["k", () => move(-1)],
  ]);
  const at = hovered ?? selected?.chunk_id ?? null;
  return (
    <>
      <Stats retrieved={retrieved} />
      <Corrections corrections={retrieved.stats.corrections} />
      <Warnings warnings={retrieved.stats.warnings} />
      <Answer retrieved={retrieved} at={at} onHover={setHovered} onSelect={select} />
      {retrieved.results.length === 0 ? (
        <Empty icon={IconSearchOff} title="Nothing was found">
          Nothing in these sources is like that. Try other words, more sources, or fewer filters.
        </Empty>
      ) : (
        <div className={classes.found}>
          <Ranks columns={columns} at={at} onHover={setHovered} onSelect={setSelected} />
          {selected && <PassageView passage={selected} />}
        </div>
      )}
    </>
  );
}
