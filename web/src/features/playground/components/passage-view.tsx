import { IconExternalLink } from "@tabler/icons-react";
import { Link } from "@tanstack/react-router";
import type { Passage } from "../../../api/aliases";
import { CopyButton, Id } from "../../../ui/feedback";
import { positionWords } from "../../sources/model";
import { piecesOf } from "../model";
import classes from "../playground.module.css";

function Snippet({ passage }: { passage: Passage }) {
  return (
    <p className={classes.snippet}>
      {piecesOf(passage.snippet, passage.highlights).map((piece, i) =>
        piece.hit ? (
          // biome-ignore lint/suspicious/noArrayIndexKey: a piece is its place
          <mark key={i}>{piece.text}</mark>
        ) : (
          // biome-ignore lint/suspicious/noArrayIndexKey: a piece is its place
          <span key={i}>{piece.text}</span>
        ),
      )}
    </p>
  );
}

const number = (n: number | null): string => (n === null ? "–" : n.toFixed(4));

/** One passage: where it stands, why it was found, what it says. */
export function PassageView({ passage }: { passage: Passage }) {
  const p = passage;
  const where = positionWords(p.position);
  return (
    <aside className={classes.passage} aria-label="Passage">
      <header>
        <Link
          to="/sources/$sourceId/files"
          params={{ sourceId: String(p.source_id) }}
          search={{ file: p.file_id, chunk: p.chunk_id }}
        >
          <code>{p.path}</code> <IconExternalLink size={13} aria-hidden />
        </Link>
        <div className={classes.passageFacts}>
          {[p.source_name, where, p.language || p.kind].filter(Boolean).join(" · ")}
        </div>
        {p.position.heading.length > 0 && (
          <div className={classes.passageFacts}>{p.position.heading.join(" › ")}</div>
        )}
      </header>
      <table className={classes.scores}>
        <thead>
          <tr>
            <th aria-label="What" />
            <th>Words</th>
            <th>Meaning</th>
            <th>Together</th>
            {p.ranks.rerank !== null && <th>Reranked</th>}
          </tr>
        </thead>
        <tbody>
          <tr>
            <th scope="row">Rank</th>
            <td>{p.ranks.lexical ?? "–"}</td>
            <td>{p.ranks.vector ?? "–"}</td>
            <td>{p.ranks.fused}</td>
            {p.ranks.rerank !== null && <td>{p.ranks.rerank}</td>}
          </tr>
          <tr>
            <th scope="row">Score</th>
            <td>{number(p.scores.lexical)}</td>
            <td>{number(p.scores.vector)}</td>
            <td>{p.ranks.rerank === null ? number(p.score) : "–"}</td>
            {p.ranks.rerank !== null && <td>{number(p.score)}</td>}
          </tr>
        </tbody>
      </table>
      <Snippet passage={p} />
      <details className={classes.whole}>
        <summary>The whole chunk</summary>
        <pre>{p.text}</pre>
      </details>
      <footer>
        <Id copy={p.key}>{p.key.slice(0, 12)}</Id>
        <CopyButton text={p.text} label="Copy the text" />
      </footer>
    </aside>
  );
}
