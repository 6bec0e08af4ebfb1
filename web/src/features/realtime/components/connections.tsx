import { CloseButton, Tooltip } from "@mantine/core";
import { IconAlertTriangle, IconPlugConnectedX } from "@tabler/icons-react";
import { useInfiniteQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { Empty, ErrorNotice, Lines } from "../../../ui/feedback";
import { bytes, count } from "../../../ui/format";
import { Section } from "../../../ui/page";
import { ShowMore } from "../../../ui/show-more";
import table from "../../../ui/table.module.css";
import { Ago } from "../../../ui/time";
import { connectionsQuery } from "../api";
import { type Connection, clientName, transportName } from "../model";
import classes from "../realtime.module.css";

function Row({ item, own, room }: { item: Connection; own: boolean; room: string }) {
  return (
    <tr className={table.row}>
      <td>
        <Link
          className={table.link}
          to="/realtime"
          search={{ ...(room && { room }), sid: item.sid }}
          resetScroll={false}
        >
          {item.user.email}
        </Link>
        {own && <span className={classes.own}>this browser</span>}
        <div className={table.sub}>{item.via === "api_key" ? "with an API key" : item.user.role}</div>
      </td>
      <td>
        {clientName(item.user_agent)}
        <div className={table.sub}>{item.address}</div>
      </td>
      <td>{transportName(item.transport)}</td>
      <td>
        <code>{item.worker}</code>
        <div className={table.sub}>{item.hostname}</div>
      </td>
      <td className={table.number}>{count(item.rooms.length)}</td>
      <td className={table.number}>
        {item.catching_up ? (
          <Tooltip label="Live events wait until it has what it missed">
            <span className={`${table.above} ${classes.busy}`}>catching up</span>
          </Tooltip>
        ) : item.queue.frames > 0 ? (
          bytes(item.queue.bytes)
        ) : (
          "–"
        )}
      </td>
      <td className={table.muted}>
        <Ago at={item.since} />
      </td>
    </tr>
  );
}

function List({ items, own, room }: { items: Connection[]; own: string | null; room: string }) {
  return (
    <div className={classes.wide}>
      <table className={table.table}>
        <thead>
          <tr>
            <th>User</th>
            <th>Client</th>
            <th>Transport</th>
            <th>Worker</th>
            <th className={table.number}>Rooms</th>
            <th className={table.number}>Waiting</th>
            <th>Connected</th>
          </tr>
        </thead>
        <tbody>
          {items.map((item) => (
            <Row key={item.sid} item={item} own={item.sid === own} room={room} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

interface Props {
  /** Only those in this room; empty: all. */
  room: string;
  /** This browser's own. */
  own: string | null;
}

export function ConnectionsSection({ room, own }: Props) {
  const connections = useInfiniteQuery(connectionsQuery(room));
  const items = connections.data?.pages.flatMap((page) => page.items) ?? [];
  const mute = connections.data?.pages.at(-1)?.mute ?? [];
  const filter = room !== "" && (
    <span className={classes.filter}>
      In <code>{room}</code>
      <Link to="/realtime" search={{}} resetScroll={false} aria-label="Show all connections">
        <CloseButton component="span" size="sm" tabIndex={-1} />
      </Link>
    </span>
  );
  return (
    <Section title="Connections" actions={filter}>
      {connections.isError && (
        <ErrorNotice error={connections.error} onRetry={() => void connections.refetch()} />
      )}
      {mute.length > 0 && (
        <p className={classes.missing}>
          <IconAlertTriangle size={15} color="var(--st-degraded)" aria-hidden />
          Those of {mute.map((m) => m.worker).join(", ")} are missing: {mute[0]?.reason}.
        </p>
      )}
      {connections.isPending && <Lines n={4} height={48} />}
      {connections.isSuccess && items.length === 0 && (
        <Empty icon={IconPlugConnectedX} title={room ? "Nobody is in this room" : "No connections"}>
          {room
            ? "Its members have closed their pages or gone elsewhere."
            : "Each browser with an open page of the Studio, and each client of the API that listens, appears here."}
        </Empty>
      )}
      {items.length > 0 && <List items={items} own={own} room={room} />}
      <ShowMore list={connections} />
    </Section>
  );
}
