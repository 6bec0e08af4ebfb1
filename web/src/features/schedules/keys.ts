export const scheduleKeys = {
  all: ["schedules"] as const,
  lists: ["schedules", "list"] as const,
  calendars: ["schedules", "calendar"] as const,
  detail: (id: number) => ["schedules", "detail", id] as const,
  firings: (id: number) => ["schedules", "firings", id] as const,
  preview: ["schedules", "preview"] as const,
};
