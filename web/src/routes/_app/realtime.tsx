import { useQuery } from "@tanstack/react-query";
import { createFileRoute } from "@tanstack/react-router";
import { statusQuery } from "../../features/realtime/api";
import { ConnectionDrawer } from "../../features/realtime/components/connection-drawer";
import { ConnectionsSection } from "../../features/realtime/components/connections";
import { LatencySection, Tiles, Troubles } from "../../features/realtime/components/figures";
import { RoomsSection, WorkersSection } from "../../features/realtime/components/workers";
import classes from "../../features/realtime/realtime.module.css";
import { useDetails } from "../../realtime/provider";
import { ErrorNotice, Lines } from "../../ui/feedback";
import { PageFrame } from "../../ui/page";

interface Search {
  room?: string;
  sid?: string;
}

const text = (value: unknown): string => (typeof value === "string" ? value.slice(0, 300) : "");

export const Route = createFileRoute("/_app/realtime")({
  validateSearch: (search): Search => {
    const room = text(search.room);
    const sid = text(search.sid);
    return { ...(room && { room }), ...(sid && { sid }) };
  },
  component: Realtime,
});

function Realtime() {
  const { user } = Route.useRouteContext();
  const { room = "", sid } = Route.useSearch();
  const navigate = Route.useNavigate();
  const status = useQuery(statusQuery);
  const own = useDetails().sid;
  const manages = user.role === "admin";
  return (
    <PageFrame title="Realtime">
      {status.isError && (
        <div className={classes.error}>
          <ErrorNotice error={status.error} onRetry={() => void status.refetch()} />
        </div>
      )}
      {status.isPending && <Lines n={6} height={64} />}
      {status.data && (
        <>
          <Troubles status={status.data} />
          <Tiles status={status.data} />
          <div className={classes.columns}>
            <LatencySection latency={status.data.totals.latency} />
            <RoomsSection status={status.data} linked={manages} />
          </div>
          <WorkersSection status={status.data} />
        </>
      )}
      {manages && status.data && <ConnectionsSection room={room} own={own} />}
      {manages && sid !== undefined && (
        <ConnectionDrawer
          key={sid}
          sid={sid}
          onClose={() => void navigate({ search: room ? { room } : {}, replace: true, resetScroll: false })}
        />
      )}
    </PageFrame>
  );
}
