import "@mantine/core/styles/Kbd.css";
import { Kbd } from "@mantine/core";
import { Fragment } from "react";
import { Modal } from "./dialogs";
import classes from "./keys-modal.module.css";

export type KeyLines = readonly (readonly [key: string, text: string])[];

interface Props {
  keys: KeyLines;
  onClose: () => void;
}

/** The keys of a page. */
export function KeysModal({ keys, onClose }: Props) {
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
