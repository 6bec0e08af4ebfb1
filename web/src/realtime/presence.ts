// Who is alive. A tab holds a lock of its own for as long as it lives, however it
// ends; whoever waits for that lock learns of its end at once. Where there are no
// locks (pages that are not served securely), silence tells.

import type { HoldLock } from "./tab";

const lockOf = (id: string): string => `llmctl-studio-tab:${id}`;

export const holdLock =
  (locks: LockManager | undefined): HoldLock =>
  (id) => {
    if (!locks) return Promise.resolve({ locked: false, release: () => {} });
    return new Promise((resolve) => {
      const held = locks.request(
        lockOf(id),
        () => new Promise<void>((release) => resolve({ locked: true, release })),
      );
      held.catch(() => resolve({ locked: false, release: () => {} }));
    });
  };

/** Calls onEnd when the tab, which holds its lock, has ended. */
export function whenEnded(locks: LockManager | undefined, id: string, onEnd: () => void): void {
  locks?.request(lockOf(id), onEnd).catch(() => {});
}
