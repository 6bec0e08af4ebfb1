import { Button } from "@mantine/core";
import { IconPlugConnectedX } from "@tabler/icons-react";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { type ReactNode, useState } from "react";
import { ApiError } from "../../../api/client";
import { Confirm } from "../../../ui/confirm";
import { Drawer } from "../../../ui/dialogs";
import { Empty, ErrorNotice, Id, Lines } from "../../../ui/feedback";
import { bytes, count } from "../../../ui/format";
import { notify } from "../../../ui/notices";
import { Ago } from "../../../ui/time";
import { connectionQuery, disconnect, realtimeKeys } from "../api";
import { type Connection, clientName, transportName } from "../model";
import classes from "../realtime.module.css";

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </>
  );
}

function Facts({ item }: { item: Connection }) {
  const waiting =
    item.queue.frames === 0 ? "Nothing" : `${count(item.queue.frames)} frames, ${bytes(item.queue.bytes)}`;
  return (
    <dl className={classes.facts}>
      <Fact name="User">
        {item.user.email} ({item.user.role})
      </Fact>
      <Fact name="Signed in">
        {item.via === "api_key" ? `API key ${item.credential_id}` : `Browser session ${item.credential_id}`}
      </Fact>
      <Fact name="Client">
        {clientName(item.user_agent)}
        <small>{item.user_agent}</small>
      </Fact>
      <Fact name="Address">{item.address}</Fact>
      <Fact name="Transport">{transportName(item.transport)}</Fact>
      <Fact name="Worker">
        <code>{item.worker}</code> on {item.hostname}
      </Fact>
      <Fact name="Connected">
        <Ago at={item.since} />
      </Fact>
      <Fact name="Waits to be sent">{waiting}</Fact>
      <Fact name="Requests in line">{count(item.requests)}</Fact>
      <Fact name="State">{item.catching_up ? "Catching up" : "Live"}</Fact>
      <Fact name="Session">
        <Id>{item.sid}</Id>
      </Fact>
    </dl>
  );
}

const runIn = (stream: string): string | undefined => /^flowchart_run:(\d+)$/.exec(stream)?.[1];

function Named({ name }: { name: string }) {
  const runId = runIn(name);
  return runId ? (
    <Link to="/runs/$runId" params={{ runId }}>
      {name}
    </Link>
  ) : (
    name
  );
}

function Details({ item }: { item: Connection }) {
  return (
    <>
      <Facts item={item} />
      <h3 className={classes.heading}>Rooms</h3>
      {item.rooms.length === 0 && <p className={classes.quiet}>It has not joined a room.</p>}
      <ul className={classes.chips}>
        {item.rooms.map((room) => (
          <li key={room}>
            <Named name={room} />
          </li>
        ))}
      </ul>
      <h3 className={classes.heading}>Streams, served up to</h3>
      {item.streams.length === 0 ? (
        <p className={classes.quiet}>Nothing has happened in its rooms since it connected.</p>
      ) : (
        <ul className={classes.streams}>
          {item.streams.map(({ stream, cursor }) => (
            <li key={stream}>
              <span>
                <Named name={stream} />
              </span>
              <b>{count(cursor)}</b>
            </li>
          ))}
        </ul>
      )}
    </>
  );
}

function Disconnect({ item, onClose }: { item: Connection; onClose: () => void }) {
  const cache = useQueryClient();
  const run = async () => {
    await disconnect(item.sid);
    notify(`The connection of ${item.user.email} was cut off.`);
    await cache.invalidateQueries({ queryKey: ["realtime"] });
  };
  return (
    <Confirm title={`Disconnect ${item.user.email}`} action="Disconnect" run={run} onClose={onClose}>
      The connection of {item.user.email} from {item.address} ({clientName(item.user_agent)}) is cut off. The
      client comes back by itself within seconds and catches up. To keep it out, delete its API key or disable
      the user.
    </Confirm>
  );
}

/** One client: who it is, what it listens to, and how far it was served. */
export function ConnectionDrawer({ sid, onClose }: { sid: string; onClose: () => void }) {
  const cache = useQueryClient();
  const connection = useQuery(connectionQuery(sid));
  const [asking, setAsking] = useState(false);
  const gone = connection.error instanceof ApiError && connection.error.status === 404;
  const item = gone ? undefined : connection.data;
  const close = () => {
    cache.removeQueries({ queryKey: realtimeKeys.connection(sid) });
    onClose();
  };
  return (
    <Drawer opened onClose={close} position="right" size={480} title="Connection">
      {asking && item && <Disconnect item={item} onClose={() => setAsking(false)} />}
      {connection.isPending && <Lines n={8} height={26} />}
      {gone && (
        <Empty icon={IconPlugConnectedX} title="This connection has ended">
          The client closed it or lost it. If it came back, it is in the list with a new session.
        </Empty>
      )}
      {connection.isError && !gone && (
        <ErrorNotice error={connection.error} onRetry={() => void connection.refetch()} />
      )}
      {item && (
        <>
          <Details item={item} />
          <div className={classes.drawerFoot}>
            <Button
              color="red"
              variant="light"
              leftSection={<IconPlugConnectedX size={15} />}
              onClick={() => setAsking(true)}
            >
              Disconnect
            </Button>
          </div>
        </>
      )}
    </Drawer>
  );
}
