// Read with the address, so with the first paint: it imports nothing.

export const jobStates = ["waiting", "scheduled", "running"] as const;
export type JobState = (typeof jobStates)[number];
