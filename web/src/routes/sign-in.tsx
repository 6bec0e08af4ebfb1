import { Button, Stack } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { createFileRoute, redirect, useRouter } from "@tanstack/react-router";
import { type FormEvent, useEffect, useState } from "react";
import { meQuery, rememberMe, signIn } from "../features/auth/api";
import { AuthCard } from "../features/auth/auth-card";
import { ErrorNotice } from "../ui/feedback";
import { PasswordInput, TextInput } from "../ui/inputs";

export const Route = createFileRoute("/sign-in")({
  // Only a path of this application: never a way to another site.
  validateSearch: (search): { to?: string } =>
    typeof search.to === "string" && /^\/(?![/\\])/.test(search.to) ? { to: search.to } : {},
  beforeLoad: async ({ context, search }) => {
    const me = await context.queryClient.ensureQueryData(meQuery).catch(() => null);
    if (me) throw redirect({ to: search.to ?? "/" });
  },
  component: SignIn,
});

function SignIn() {
  const { to } = Route.useSearch();
  const router = useRouter();
  const cache = useQueryClient();
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const login = useMutation({
    mutationFn: signIn,
    onSuccess: ({ user }) => {
      cache.clear();
      rememberMe(cache, user);
      void router.navigate({ to: to ?? "/" });
    },
  });
  useEffect(() => {
    document.title = "Sign in · llmctl Studio";
  }, []);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    login.mutate({ email: email.trim(), password });
  };
  return (
    <AuthCard title="Sign in" lead="On the first start, open the setup link that the server printed instead.">
      <form onSubmit={submit}>
        <Stack gap="sm">
          {login.error && <ErrorNotice error={login.error} />}
          <TextInput
            label="Email"
            type="email"
            autoComplete="username"
            required
            withAsterisk={false}
            data-autofocus
            value={email}
            onChange={(e) => setEmail(e.currentTarget.value)}
          />
          <PasswordInput
            label="Password"
            autoComplete="current-password"
            required
            withAsterisk={false}
            value={password}
            onChange={(e) => setPassword(e.currentTarget.value)}
          />
          <Button type="submit" size="sm" fullWidth mt="xs" loading={login.isPending}>
            Sign in
          </Button>
        </Stack>
      </form>
    </AuthCard>
  );
}
