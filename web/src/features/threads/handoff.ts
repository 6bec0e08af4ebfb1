// What was begun before its thread was there: files that were dropped on the start
// page, for the page of the thread that was made for them.

const waiting = new Map<number, File[]>();

export const handOver = (thread: number, files: File[]): void => void waiting.set(thread, files);

export function takeOver(thread: number): File[] {
  const files = waiting.get(thread) ?? [];
  waiting.delete(thread);
  return files;
}
