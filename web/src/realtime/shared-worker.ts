// The hub in a shared worker: one socket for all tabs of the browser. Its name
// carries where to connect, so tabs of different servers, prefixes or users do
// not meet.

import { Hub, type TabPort } from "./hub";
import type { ToHub } from "./messages";
import { whenEnded } from "./presence";
import { socketWire, type WireOptions } from "./wire";

/** What a tab sends: its id with each message. */
export type Posted = [id: string, message: ToHub];

const scope = self as unknown as {
  name: string;
  navigator: Navigator;
  onconnect: ((event: MessageEvent) => void) | null;
};

const hub = new Hub(socketWire(JSON.parse(scope.name) as WireOptions), "shared");

scope.onconnect = (event) => {
  const port = event.ports[0];
  if (!port) return;
  const tab: TabPort = { post: (message) => port.postMessage(message) };
  port.onmessage = ({ data }: MessageEvent<Posted>) => {
    const [id, message] = data;
    if (message.t === "hello" && message.locked) whenEnded(scope.navigator.locks, id, () => hub.release(id));
    hub.receive(id, tab, message);
  };
};
