// Where the socket can live in this browser, best first: a shared worker, the
// leading one of its tabs, each tab for itself.

import { leaderCarrier } from "./leader";
import type { CarrierKind } from "./messages";
import { whenEnded } from "./presence";
import type { Posted } from "./shared-worker";
import workerUrl from "./shared-worker?sharedworker&url";
import type { Carrier, OpenCarrier } from "./tab";
import type { WireOptions } from "./wire";

async function makeHub(options: WireOptions, kind: CarrierKind) {
  const [{ Hub }, { socketWire }] = await Promise.all([import("./hub"), import("./wire")]);
  return new Hub(socketWire(options), kind);
}

const sharedCarrier =
  (name: string): OpenCarrier =>
  (id, receive, onFail) => {
    const worker = new SharedWorker(workerUrl, { name, type: "module" });
    worker.onerror = onFail;
    worker.port.onmessage = ({ data }) => receive(data);
    return {
      kind: "shared",
      post: (message) => worker.port.postMessage([id, message] satisfies Posted),
      // It did not load, or it crashed.
      revive: () => false,
      close: () => worker.port.close(),
    } satisfies Carrier;
  };

const ownCarrier =
  (options: WireOptions): OpenCarrier =>
  (id, receive, onFail) => {
    let closed = false;
    const hub = makeHub(options, "own");
    hub.catch(onFail);
    return {
      kind: "own",
      post: (message) =>
        void hub.then(
          (h) => {
            if (!closed || message.t === "bye") h.receive(id, { post: receive }, message);
          },
          () => {}, // told above
        ),
      revive: () => true,
      close: () => {
        closed = true;
        void hub.then(
          (h) => h.stop(),
          () => {},
        );
      },
    } satisfies Carrier;
  };

/** identity: who is signed in; tabs of another one must not share the socket. */
export function carriersFor(options: WireOptions, identity: string): OpenCarrier[] {
  const name = JSON.stringify({ ...options, identity });
  const { locks } = navigator;
  const carriers: OpenCarrier[] = [];
  if (typeof SharedWorker === "function") carriers.push(sharedCarrier(name));
  if (locks && typeof BroadcastChannel === "function") {
    carriers.push(
      leaderCarrier({
        scope: `llmctl-studio-realtime:${name}`,
        locks,
        openChannel: (scope) => new BroadcastChannel(scope),
        makeHub: () => makeHub(options, "leader"),
        whenEnded: (tab, onEnd) => whenEnded(locks, tab, onEnd),
      }),
    );
  }
  carriers.push(ownCarrier(options));
  return carriers;
}
