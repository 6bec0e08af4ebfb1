import { memo } from "react";
import type { Turn } from "../../../api/aliases";
import { Markdown } from "../../../ui/markdown/markdown";
import { ToolCard } from "../../tools/tool-card";
import { useConversation } from "../context";
import type { Piece, ShownCall } from "../model";
import { CompactionMarker } from "./compaction-marker";
import classes from "./message.module.css";

const Call = memo(function Call({ call, turn }: { call: ShownCall; turn: Turn | null }) {
  const { decide, deciding, decided } = useConversation();
  const { recordId } = call;
  const answer = recordId === null ? undefined : decided.get(recordId);
  const waits = call.status === "waiting";
  const asks = turn !== null && waits && recordId !== null && answer === undefined;
  return (
    <ToolCard
      call={{
        name: call.name,
        server: call.server,
        status: waits && answer !== undefined ? (answer ? "approved" : "denied") : call.status,
        arguments: call.arguments,
        result: call.truncated ? `${call.result ?? ""}\n…` : call.result,
        ms: call.durationMs,
        progress: call.progress,
      }}
      decide={
        asks
          ? {
              busy: deciding,
              onApprove: () => decide(recordId, true),
              onDeny: () => decide(recordId, false),
            }
          : null
      }
    />
  );
});

/** Text, tool calls and marks of a message, in their order. */
export function Pieces({ pieces, open, turn }: { pieces: Piece[]; open: boolean; turn: Turn | null }) {
  const last = pieces.length - 1;
  return (
    <>
      {pieces.map((piece, i) => (
        <div key={piece.key} className={classes.piece}>
          {piece.kind === "text" && <Markdown text={piece.text} open={open && i === last} />}
          {piece.kind === "tool" && <Call call={piece.call} turn={turn} />}
          {piece.kind === "compaction" && <CompactionMarker compaction={piece.compaction} />}
        </div>
      ))}
    </>
  );
}
