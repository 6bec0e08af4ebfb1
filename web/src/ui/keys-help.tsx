import { useHotkeys } from "@mantine/hooks";
import { lazy, Suspense, useState } from "react";
import type { KeyLines } from "./keys-modal";

const KeysModal = lazy(async () => ({ default: (await import("./keys-modal")).KeysModal }));

const everywhere: KeyLines = [
  ["Ctrl K", "Go anywhere"],
  ["?", "This map"],
];

/** Shows the keys of a page when ? is pressed. */
export function KeysHelp({ keys }: { keys: KeyLines }) {
  const [open, setOpen] = useState(false);
  useHotkeys([["shift+?", () => setOpen(true)]]);
  if (!open) return null;
  return (
    <Suspense>
      <KeysModal keys={[...keys, ...everywhere]} onClose={() => setOpen(false)} />
    </Suspense>
  );
}
