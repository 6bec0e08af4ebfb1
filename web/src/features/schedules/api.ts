import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import type { Schedule } from "../../api/aliases";
import { api, idempotencyKey, result, withEtag } from "../../api/client";
import type { components } from "../../api/generated/schema";
import { scheduleKeys } from "./keys";

/** Firings that start nothing, and the canary, are no news of a run. */
const refetchInterval = 10_000;

export const scheduleListQuery = (flowchart: number | undefined) =>
  infiniteQueryOptions({
    queryKey: [...scheduleKeys.lists, flowchart ?? 0],
    queryFn: ({ pageParam, signal }) =>
      result(
        api.GET("/schedules", {
          params: { query: { limit: 100, cursor: pageParam, ...(flowchart && { flowchart_id: flowchart }) } },
          signal,
        }),
      ),
    initialPageParam: "",
    getNextPageParam: (page) => page.next_cursor ?? undefined,
    refetchInterval,
  });

export type Span = "day" | "week";

export const calendarQuery = (span: Span) =>
  queryOptions({
    queryKey: [...scheduleKeys.calendars, span],
    queryFn: ({ signal }) => result(api.GET("/schedules/calendar", { params: { query: { span } }, signal })),
    refetchInterval: 60_000,
  });

export type LoadedSchedule = Schedule & { etag: string | null };

export const scheduleQuery = (id: number) =>
  queryOptions({
    queryKey: scheduleKeys.detail(id),
    queryFn: async ({ signal }): Promise<LoadedSchedule> => {
      const { data, etag } = await withEtag(api.GET("/schedules/{id}", { params: { path: { id } }, signal }));
      return { ...data, etag };
    },
  });

export const firingsQuery = (id: number) =>
  infiniteQueryOptions({
    queryKey: scheduleKeys.firings(id),
    queryFn: ({ pageParam, signal }) =>
      result(
        api.GET("/schedules/{id}/firings", {
          params: { path: { id }, query: { limit: 50, cursor: pageParam } },
          signal,
        }),
      ),
    initialPageParam: "",
    getNextPageParam: (page) => page.next_cursor ?? undefined,
    refetchInterval,
  });

export const previewQuery = (cron: string, time_zone: string) =>
  queryOptions({
    queryKey: [...scheduleKeys.preview, cron, time_zone],
    queryFn: ({ signal }) =>
      result(api.POST("/schedules/preview", { body: { cron, time_zone, count: 5 }, signal })),
    retry: false,
    staleTime: 30_000,
  });

export type ScheduleDraft = components["schemas"]["CreateScheduleInputBody"];
export type ScheduleChange = components["schemas"]["UpdateScheduleInputBody"];

export const createSchedule = (body: ScheduleDraft): Promise<Schedule> =>
  result(api.POST("/schedules", { params: { header: idempotencyKey() }, body }));

/** With an etag only when nobody else has changed it since. */
export const updateSchedule = (
  id: number,
  body: ScheduleChange,
  etag: string | null = null,
): Promise<Schedule> =>
  result(
    api.PATCH("/schedules/{id}", {
      params: { path: { id }, ...(etag && { header: { "If-Match": etag } }) },
      body,
    }),
  );

export const deleteSchedule = (id: number): Promise<void> =>
  result(api.DELETE("/schedules/{id}", { params: { path: { id } } }));

export const restoreSchedule = (id: number): Promise<Schedule> =>
  result(api.POST("/schedules/{id}/restore", { params: { path: { id } } }));

export const fireSchedule = (id: number) =>
  result(api.POST("/schedules/{id}/fire", { params: { path: { id }, header: idempotencyKey() } }));
