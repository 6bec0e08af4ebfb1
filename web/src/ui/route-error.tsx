import { IconMapOff } from "@tabler/icons-react";
import type { ErrorComponentProps } from "@tanstack/react-router";
import { Empty, ErrorNotice } from "./feedback";
import { LinkButton } from "./link-button";

export function RouteError({ error, reset }: ErrorComponentProps) {
  return (
    <div style={{ padding: 24, maxWidth: 760 }}>
      <ErrorNotice error={error} onRetry={reset} />
    </div>
  );
}

export function RouteMissing() {
  return (
    <main style={{ minHeight: "100%", display: "grid", placeItems: "center" }}>
      <Empty
        icon={IconMapOff}
        title="There is no such page"
        action={
          <LinkButton to="/" variant="default">
            Go to the overview
          </LinkButton>
        }
      >
        The address may be mistyped, or what it showed was deleted.
      </Empty>
    </main>
  );
}
