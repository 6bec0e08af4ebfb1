import { type QueryClient, queryOptions } from "@tanstack/react-query";
import type { Me, User } from "../../api/aliases";
import { ApiError, api, result } from "../../api/client";

export const meQuery = queryOptions({
  queryKey: ["auth", "me"],
  // Not being signed in is an answer, not a failure.
  queryFn: async ({ signal }): Promise<Me | null> => {
    try {
      return await result(api.GET("/auth/me", { signal }));
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) return null;
      throw error;
    }
  },
  staleTime: 60_000,
});

export const signIn = (body: { email: string; password: string }): Promise<{ user: User }> =>
  result(api.POST("/auth/login", { body }));

export const setUp = (body: { token: string; email: string; password: string }): Promise<{ user: User }> =>
  result(api.POST("/auth/setup", { body }));

export const signOut = (): Promise<void> => result(api.POST("/auth/logout"));

export function rememberMe(cache: QueryClient, user: User): void {
  const me: Me = { user, setup_required: false };
  cache.setQueryData<Me | null>(meQuery.queryKey, me);
}
