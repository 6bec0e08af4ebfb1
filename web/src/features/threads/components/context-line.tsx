import { Tooltip, UnstyledButton } from "@mantine/core";
import type { Turn } from "../../../api/aliases";
import { count } from "../../../ui/format";
import { latestContext } from "../model";
import { ContextBar } from "./context-meter";
import classes from "./conversation.module.css";

/** How full the model's window was at the last answer; opens the numbers. */
export function ContextLine({ turns, onOpen }: { turns: readonly Turn[]; onOpen: () => void }) {
  const context = latestContext(turns);
  if (!context) return <span>Enter sends, Shift Enter is a new line</span>;
  return (
    <Tooltip label="What the model's window is filled with">
      <UnstyledButton className={classes.context} onClick={onOpen}>
        <ContextBar context={context} />
        <span>
          {count(context.used.total)} of {count(context.window_tokens)} tokens
        </span>
      </UnstyledButton>
    </Tooltip>
  );
}
