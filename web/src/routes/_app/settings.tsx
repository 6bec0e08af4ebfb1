import { Button, useMantineColorScheme } from "@mantine/core";
import { IconLogout } from "@tabler/icons-react";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { createFileRoute, useRouter } from "@tanstack/react-router";
import { config } from "../../config";
import { signOut } from "../../features/auth/api";
import { ApiKeys } from "../../features/settings/api-keys";
import { McpServerSection } from "../../features/settings/mcp-server";
import { NodeExecutorSection } from "../../features/settings/node-executor-section";
import { RetentionSection } from "../../features/settings/retention";
import classes from "../../features/settings/settings.module.css";
import { ChatSettingsSection } from "../../features/threads/components/chat-settings";
import { SegmentedControl } from "../../ui/inputs";
import { LinkButton } from "../../ui/link-button";
import { notifyError } from "../../ui/notices";
import { PageFrame, Section } from "../../ui/page";

export const Route = createFileRoute("/_app/settings")({ component: Settings });

function Settings() {
  const { user } = Route.useRouteContext();
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  const cache = useQueryClient();
  const router = useRouter();
  const leave = useMutation({
    mutationFn: signOut,
    onSuccess: () => {
      cache.clear();
      void router.navigate({ to: "/sign-in" });
    },
    onError: (error) => notifyError("You are still signed in", error),
  });
  return (
    <PageFrame title="Settings" narrow>
      <Section title="Profile">
        <div className={classes.form}>
          <div className={classes.line}>
            <div>
              {user.email}
              <small>{user.role}</small>
            </div>
            <Button
              variant="default"
              leftSection={<IconLogout size={15} />}
              loading={leave.isPending}
              onClick={() => leave.mutate()}
            >
              Sign out
            </Button>
          </div>
        </div>
      </Section>
      <Section title="Appearance">
        <div className={classes.form}>
          <div className={classes.line}>
            <div>
              Theme
              <small>Kept in this browser.</small>
            </div>
            <SegmentedControl
              aria-label="Theme"
              value={colorScheme}
              onChange={(value) => setColorScheme(value === "dark" || value === "light" ? value : "auto")}
              data={[
                { value: "auto", label: "System" },
                { value: "dark", label: "Dark" },
                { value: "light", label: "Light" },
              ]}
            />
          </div>
        </div>
      </Section>
      <ApiKeys />
      <ChatSettingsSection manages={user.role === "admin"} />
      <Section title="Retrieval">
        <div className={classes.form}>
          <div className={classes.line}>
            <div>
              Models and limits
              <small>What makes vectors and ranks, how files are indexed, how much a search gives.</small>
            </div>
            <LinkButton to="/settings/retrieval" variant="default">
              Open
            </LinkButton>
          </div>
        </div>
      </Section>
      <McpServerSection />
      {user.role === "admin" && (
        <>
          <NodeExecutorSection />
          <Section title="Integrations">
            <div className={classes.form}>
              <div className={classes.line}>
                <div>
                  GitHub, Jira, Confluence, Chroma, Google
                  <small>Each that is configured has its MCP server.</small>
                </div>
                <LinkButton to="/settings/integrations" variant="default">
                  Open
                </LinkButton>
              </div>
            </div>
          </Section>
        </>
      )}
      <RetentionSection manages={user.role === "admin"} />
      <Section title="About">
        <div className={classes.form}>
          <div className={classes.line}>
            <span>Version</span>
            <code>{config.version}</code>
          </div>
          <div className={classes.line}>
            <span>API reference</span>
            <a href={`${config.apiBase}/docs`} target="_blank" rel="noreferrer">
              {config.apiBase}/docs
            </a>
          </div>
        </div>
      </Section>
    </PageFrame>
  );
}
