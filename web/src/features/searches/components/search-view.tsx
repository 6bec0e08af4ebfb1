import { IconAlertTriangle, IconQuote, IconSearchOff } from "@tabler/icons-react";
import { useInfiniteQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { type ReactNode, useMemo } from "react";
import type { FoundPassage, Retrieval } from "../../../api/aliases";
import { Empty, Id } from "../../../ui/feedback";
import { count, duration } from "../../../ui/format";
import { Section } from "../../../ui/page";
import { Ago } from "../../../ui/time";
import { sourceListQuery } from "../../sources/api";
import { positionWords } from "../../sources/model";
import { answered, foundWords, originLabels, sourceWords } from "../model";
import classes from "../searches.module.css";

function Origin({ of }: { of: Retrieval }) {
  const label = originLabels[of.origin];
  if (of.thread_id !== null)
    return (
      <Link to="/threads/$threadId" params={{ threadId: String(of.thread_id) }}>
        Thread {of.thread_id}
      </Link>
    );
  if (of.origin === "node" && of.origin_id !== null)
    return (
      <Link to="/nodes/$nodeId" params={{ nodeId: String(of.origin_id) }}>
        Node {of.origin_id}
      </Link>
    );
  return of.origin === "thread" ? "A thread that is gone" : label;
}

const modeWords: Record<Retrieval["stats"]["mode"], string> = {
  hybrid: "words and meaning",
  lexical: "words",
  vector: "meaning",
};

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Facts({ of, names }: { of: Retrieval; names: ReadonlyMap<number, string> }) {
  const { stats } = of;
  return (
    <dl className={classes.facts}>
      <Fact name="Asked">
        <Ago at={of.at} />
      </Fact>
      <Fact name="Who">{of.user ?? "Nobody who is known"}</Fact>
      <Fact name="By way of">
        <Origin of={of} />
      </Fact>
      <Fact name="Sources">{sourceWords(of.source_ids, names)}</Fact>
      <Fact name="Compared">
        {modeWords[stats.mode]}
        {stats.embedder && `, ${stats.embedder.model}`}
      </Fact>
      <Fact name="Found">
        {foundWords(of.results)} of {count(stats.candidates)} candidates
      </Fact>
      <Fact name="Took">{duration(stats.total_ms)}</Fact>
      <Fact name="Request">{of.request_id ? <Id>{of.request_id}</Id> : "–"}</Fact>
    </dl>
  );
}

function Found({ passage: p, rank, name }: { passage: FoundPassage; rank: number; name: string }) {
  const where = positionWords(p.position);
  return (
    <li className={classes.found}>
      <header>
        <b>{rank}</b>
        <Link
          to="/sources/$sourceId/files"
          params={{ sourceId: String(p.source_id) }}
          search={{ path: p.path, key: p.chunk, ...(where && { at: where }) }}
        >
          <code>{p.path}</code>
        </Link>
        <span>{[name, where, p.position.heading.join(" › ")].filter(Boolean).join(" · ")}</span>
        {p.cited && (
          <span className={classes.cited}>
            <IconQuote size={13} aria-hidden /> Cited
          </span>
        )}
        <span className={classes.score}>{p.score.toFixed(4)}</span>
      </header>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, and keys must reach its end */}
      <pre tabIndex={0}>{p.snippet}</pre>
    </li>
  );
}

/** One search: what was asked, by whom, and what was found at the time. */
export function SearchView({ of }: { of: Retrieval }) {
  const sources = useInfiniteQuery(sourceListQuery({}, 200));
  const names = useMemo(
    () => new Map(sources.data?.pages[0]?.items.map((s) => [s.id, s.name])),
    [sources.data],
  );
  return (
    <>
      <blockquote className={classes.question}>{of.question}</blockquote>
      <Facts of={of} names={names} />
      {of.stats.warnings.length > 0 && (
        <ul className={classes.warnings} aria-label="Warnings">
          {of.stats.warnings.map((w) => (
            <li key={w}>
              <IconAlertTriangle size={15} aria-hidden /> {w}
            </li>
          ))}
        </ul>
      )}
      <Section title="What was found">
        {of.results.length === 0 ? (
          <Empty icon={IconSearchOff} title="Nothing was found">
            At that time nothing in these sources was like the question.
          </Empty>
        ) : (
          <>
            {!answered(of) && of.origin === "thread" && (
              <p className={classes.hint}>The answer in the thread says which of these it names.</p>
            )}
            <ol className={classes.list}>
              {of.results.map((p, i) => (
                <Found
                  key={`${p.source_id} ${p.path} ${p.chunk}`}
                  passage={p}
                  rank={i + 1}
                  name={names.get(p.source_id) ?? `Source ${p.source_id}`}
                />
              ))}
            </ol>
          </>
        )}
      </Section>
    </>
  );
}
