import { type KeyLines, KeysModal } from "../../../ui/keys-modal";

const keys: KeyLines = [
  ["Enter", "Send"],
  ["Shift Enter", "A new line"],
  ["Esc", "Stop the answer, or leave what is being edited"],
  ["/", "Write a message"],
  ["E", "Edit your last message"],
  ["R", "Regenerate the last answer"],
  ["[ and ]", "The version before, the one after, of the last message that has several"],
  ["Tab, Enter", "To a number in an answer, and its passage"],
  ["End", "The newest message, while the conversation has the focus"],
  ["N", "New thread"],
  ["S", "Search threads"],
  ["I", "Choices, context, usage and export of the thread"],
  ["Ctrl K", "Go anywhere"],
  ["?", "This map"],
];

export function ThreadKeys({ onClose }: { onClose: () => void }) {
  return <KeysModal keys={keys} onClose={onClose} />;
}
