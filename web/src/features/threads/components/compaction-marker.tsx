import { IconChevronRight, IconFold } from "@tabler/icons-react";
import { useState } from "react";
import type { CompactionPart } from "../../../api/aliases";
import { count } from "../../../ui/format";
import { Markdown } from "../../../ui/markdown/markdown";
import classes from "./message.module.css";

/** Where older messages were folded; opens what the model gets in their place. */
export function CompactionMarker({ compaction: c }: { compaction: CompactionPart }) {
  const [open, setOpen] = useState(false);
  return (
    <div className={classes.compaction}>
      <button type="button" aria-expanded={open} onClick={() => setOpen(!open)}>
        <IconFold size={15} aria-hidden />
        <span>
          {c.messages} older {c.messages === 1 ? "message was" : "messages were"} folded:{" "}
          {count(c.tokens_before)} → {count(c.tokens_after)} tokens
        </span>
        <IconChevronRight size={14} className={classes.chevron} aria-hidden />
      </button>
      {open && (
        <div className={classes.folded}>
          <p>
            {c.method === "model"
              ? "The model wrote this summary. From here on it gets it in place of the messages, which stay above for you."
              : "Excerpts of the messages, since the model could not summarise them. The messages stay above for you."}
            {c.reason && ` ${c.reason}`}
          </p>
          <Markdown text={c.summary} />
        </div>
      )}
    </div>
  );
}
