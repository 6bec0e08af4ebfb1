// What is said in passing. The library behind it is loaded after the first paint.

import { Button, Group } from "@mantine/core";
import type { NotificationData } from "@mantine/notifications";
import { lazy, Suspense } from "react";
import { messageOf, RequestId } from "./feedback";

const library = () => import("./notifications");

const Shown = lazy(async () => ({ default: (await library()).Notifications }));

/** Where notices appear; once on the page. */
export function Notices() {
  return (
    <Suspense>
      <Shown position="bottom-right" limit={4} />
    </Suspense>
  );
}

const show = (notice: NotificationData): void => {
  void library().then(({ notifications }) => notifications.show(notice));
};

/** Says something that needs no answer. */
export const notify = (message: string): void => show({ color: "gray", message });

export function notifyError(title: string, error: unknown): void {
  show({
    color: "red",
    title,
    autoClose: 12_000,
    message: (
      <>
        {messageOf(error)}
        <RequestId error={error} />
      </>
    ),
  });
}

export const undoMs = 10_000;

/** Says what was done and offers to take it back for ten seconds. */
export function notifyUndo(message: string, onUndo: () => void): void {
  const id = `undo-${message}-${Date.now()}`;
  show({
    id,
    color: "gray",
    autoClose: undoMs,
    message: (
      <Group justify="space-between" wrap="nowrap">
        <span>{message}</span>
        <Button
          variant="default"
          onClick={() => {
            void library().then(({ notifications }) => notifications.hide(id));
            onUndo();
          }}
        >
          Undo
        </Button>
      </Group>
    ),
  });
}
