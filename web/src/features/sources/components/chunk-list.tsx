import { Button, Tooltip } from "@mantine/core";
import { IconVector } from "@tabler/icons-react";
import { useInfiniteQuery } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import type { Chunk } from "../../../api/aliases";
import { ErrorNotice, Id, Lines } from "../../../ui/feedback";
import { count } from "../../../ui/format";
import table from "../../../ui/table.module.css";
import { chunksQuery } from "../api";
import { positionWords } from "../model";
import classes from "../sources.module.css";
import { asksFor, findWanted, type Wanted } from "../wanted";

function Item({ chunk, wanted }: { chunk: Chunk; wanted: boolean }) {
  const ref = useRef<HTMLElement>(null);
  useEffect(() => {
    if (!wanted) return;
    ref.current?.scrollIntoView({ block: "center" });
    ref.current?.focus({ preventScroll: true });
  }, [wanted]);
  const at = positionWords(chunk.position);
  return (
    <article
      ref={ref}
      className={classes.chunk}
      tabIndex={-1}
      data-wanted={wanted || undefined}
      aria-label={`Chunk ${chunk.ordinal + 1}`}
    >
      <header>
        <b>{chunk.ordinal + 1}</b>
        {at && <span>{at}</span>}
        {chunk.position.heading.length > 0 && (
          <span className={classes.heading}>{chunk.position.heading.join(" › ")}</span>
        )}
        <span className={classes.tail}>
          {count(chunk.tokens)} tokens
          <Tooltip
            label={
              chunk.has_vector
                ? "It has a vector of its source's embedding model"
                : "It has no vector: it is found by words alone"
            }
          >
            <span className={classes.vector} data-has={chunk.has_vector || undefined}>
              <IconVector size={14} aria-hidden /> {chunk.has_vector ? "vector" : "no vector"}
            </span>
          </Tooltip>
          <Id copy={chunk.key}>{chunk.key.slice(0, 8)}</Id>
        </span>
      </header>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, and keys must reach its end */}
      <pre tabIndex={0}>{chunk.text}</pre>
    </article>
  );
}

/** The chunks of a file in their order, each with where it stands. */
export function ChunkList({ file, wanted }: { file: number; wanted: Wanted }) {
  const list = useInfiniteQuery(chunksQuery(file));
  const items = list.data?.pages.flatMap((page) => page.items) ?? [];
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = list;
  // A chunk that was linked to may lie on a later page.
  const target = findWanted(items, wanted, !hasNextPage);
  const missing = asksFor(wanted) && list.isSuccess && target === undefined;
  useEffect(() => {
    if (missing && hasNextPage && !isFetchingNextPage) void fetchNextPage();
  }, [missing, hasNextPage, isFetchingNextPage, fetchNextPage]);
  return (
    <div className={classes.chunks}>
      {list.isError && <ErrorNotice error={list.error} onRetry={() => void list.refetch()} />}
      {list.isPending && <Lines n={4} height={90} />}
      {missing && !hasNextPage && (
        <p className={classes.quiet} role="status">
          The chunk that was asked for is no longer in the index. These are the file's chunks of now.
        </p>
      )}
      {items.map((c) => (
        <Item key={c.id} chunk={c} wanted={c.id === target?.id} />
      ))}
      {list.isSuccess && items.length === 0 && <p className={classes.quiet}>This file gave no text.</p>}
      {hasNextPage && (
        <div className={table.more}>
          <Button variant="default" loading={isFetchingNextPage} onClick={() => void fetchNextPage()}>
            Show more
          </Button>
        </div>
      )}
    </div>
  );
}
