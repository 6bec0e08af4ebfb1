import { Button, Stack } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { createFileRoute, Link, useRouter } from "@tanstack/react-router";
import { type FormEvent, useEffect, useState } from "react";
import { rememberMe, setUp } from "../features/auth/api";
import { AuthCard } from "../features/auth/auth-card";
import { ErrorNotice } from "../ui/feedback";
import { PasswordInput, TextInput } from "../ui/inputs";

export const Route = createFileRoute("/setup")({
  validateSearch: (search): { token: string } => ({
    token: search.token === undefined ? "" : String(search.token),
  }),
  component: Setup,
});

const minPassword = 10;

function Setup() {
  const { token: given } = Route.useSearch();
  const router = useRouter();
  const cache = useQueryClient();
  const [token, setToken] = useState(given);
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const setup = useMutation({
    mutationFn: setUp,
    onSuccess: ({ user }) => {
      cache.clear();
      rememberMe(cache, user);
      // The token is used up and has no place in the history.
      void router.navigate({ to: "/", replace: true });
    },
  });
  useEffect(() => {
    document.title = "Set up · llmctl Studio";
  }, []);
  const tooShort = password.length > 0 && password.length < minPassword;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (password.length >= minPassword) setup.mutate({ token: token.trim(), email: email.trim(), password });
  };
  return (
    <AuthCard
      title="Set up llmctl Studio"
      lead="Create the first administrator. This works once, with the link that the first start printed."
    >
      <form onSubmit={submit}>
        <Stack gap="sm">
          {setup.error && <ErrorNotice error={setup.error} />}
          {!given && (
            <TextInput
              label="Setup token"
              description="The part after token= in the printed link."
              required
              withAsterisk={false}
              value={token}
              onChange={(e) => setToken(e.currentTarget.value)}
            />
          )}
          <TextInput
            label="Email"
            type="email"
            autoComplete="username"
            required
            withAsterisk={false}
            value={email}
            onChange={(e) => setEmail(e.currentTarget.value)}
          />
          <PasswordInput
            label="Password"
            description={`At least ${minPassword} characters.`}
            autoComplete="new-password"
            required
            withAsterisk={false}
            error={tooShort ? `${minPassword - password.length} more to go.` : undefined}
            value={password}
            onChange={(e) => setPassword(e.currentTarget.value)}
          />
          <Button type="submit" size="sm" fullWidth mt="xs" loading={setup.isPending}>
            Create administrator
          </Button>
          <Link to="/sign-in" style={{ fontSize: 13, color: "var(--st-muted)", textAlign: "center" }}>
            Already set up? Sign in
          </Link>
        </Stack>
      </form>
    </AuthCard>
  );
}
