import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import type { Download, DownloadPlan, DownloadRequest } from "../../api/aliases";
import { api, idempotencyKey, result } from "../../api/client";

export const downloadKeys = {
  lists: ["downloads", "list"] as const,
  detail: (id: number) => ["downloads", "detail", id] as const,
};

export const downloadListQuery = () =>
  infiniteQueryOptions({
    queryKey: downloadKeys.lists,
    queryFn: ({ pageParam, signal }) =>
      result(api.GET("/downloads", { params: { query: { limit: 50, cursor: pageParam } }, signal })),
    initialPageParam: "",
    getNextPageParam: (page) => page.next_cursor ?? undefined,
  });

export const downloadQuery = (id: number) =>
  queryOptions({
    queryKey: downloadKeys.detail(id),
    queryFn: ({ signal }) => result(api.GET("/downloads/{id}", { params: { path: { id } }, signal })),
  });

export const planDownload = (body: DownloadRequest): Promise<DownloadPlan> =>
  result(api.POST("/downloads/plan", { body }));

export const createDownload = (body: DownloadRequest): Promise<Download & { created: boolean }> =>
  result(api.POST("/downloads", { body, params: { header: idempotencyKey() } }));

export const pauseDownload = (id: number): Promise<Download> =>
  result(api.POST("/downloads/{id}/pause", { params: { path: { id } } }));

export const resumeDownload = (id: number): Promise<Download> =>
  result(api.POST("/downloads/{id}/resume", { params: { path: { id } } }));

export const cancelDownload = (id: number): Promise<Download> =>
  result(api.POST("/downloads/{id}/cancel", { params: { path: { id } } }));

export const deleteDownload = (id: number, files: boolean) =>
  result(api.DELETE("/downloads/{id}", { params: { path: { id }, query: { files } } }));
