import "@mantine/core/styles/Kbd.css";
import { Kbd } from "@mantine/core";
import { Fragment } from "react";
import { Modal } from "../../../ui/dialogs";
import classes from "./thread-keys.module.css";

const keys: [string, string][] = [
  ["Enter", "Send"],
  ["Shift Enter", "A new line"],
  ["Esc", "Stop the answer, or leave what is being edited"],
  ["/", "Write a message"],
  ["E", "Edit your last message"],
  ["R", "Regenerate the last answer"],
  ["[ and ]", "The version before, the one after, of the last message that has several"],
  ["End", "The newest message, while the conversation has the focus"],
  ["N", "New thread"],
  ["S", "Search threads"],
  ["I", "Choices, context, usage and export of the thread"],
  ["Ctrl K", "Go anywhere"],
  ["?", "This map"],
];

export function ThreadKeys({ onClose }: { onClose: () => void }) {
  return (
    <Modal opened onClose={onClose} title="Keys">
      <dl className={classes.keys}>
        {keys.map(([key, text]) => (
          <Fragment key={key}>
            <dt>
              <Kbd>{key}</Kbd>
            </dt>
            <dd>{text}</dd>
          </Fragment>
        ))}
      </dl>
    </Modal>
  );
}
