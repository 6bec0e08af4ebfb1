// Many clients in one process, each in one room of a stream, until the input ends; then each client's log is held
// against the stored one, byte for byte, and the result is written as one JSON object.
// Usage: node crowd.mjs <url> <token> <clients> <stream> ...
import { io } from "socket.io-client";

const [url, token, count, ...streams] = process.argv.slice(2);
const transports = [["websocket"], ["polling"], ["polling", "websocket"]];
const result = { clients: Number(count), events: 0, breaks: 0, resyncs: 0, doubled: 0, disorder: 0, missing: 0, different: 0, first: "" };

function client(n) {
  const c = { stream: streams[n % streams.length], heard: [], last: 0, ready: undefined };
  const socket = io(`${url}/rt`, {
    path: "/api/socket.io",
    transports: transports[n % transports.length],
    auth: { token },
    forceNew: true,
    reconnectionDelay: 50,
    reconnectionDelayMax: 500,
  });
  c.ready = new Promise((ready) => {
    socket.on("connect", () => {
      const after = c.heard.length > 0 ? { [c.stream]: c.last } : { [c.stream]: 0 };
      socket.emit("rt.subscribe", { rooms: [c.stream], after }, (ack) => {
        result.resyncs += ack.resync?.length ?? 0;
        ready();
      });
    });
  });
  socket.on("disconnect", (reason) => {
    result.breaks++;
    if (reason === "io server disconnect") socket.connect();
  });
  socket.onAny((_event, envelope) => {
    if (envelope?.sequence_stream !== c.stream) return;
    if (envelope.sequence === c.last) result.doubled++;
    if (envelope.sequence < c.last) result.disorder++;
    c.last = envelope.sequence;
    c.heard.push(JSON.stringify(envelope));
  });
  c.close = () => socket.close();
  return c;
}

async function stored(stream) {
  const all = [];
  for (;;) {
    const answer = await fetch(`${url}/api/events?stream=${stream}&after=${all.length}&limit=200`, {
      headers: { Authorization: `Bearer ${token}` },
    });
    const { items } = await answer.json();
    if (items.length === 0) return all;
    all.push(...items.map((e) => JSON.stringify(e)));
  }
}

const clients = Array.from({ length: Number(count) }, (_, n) => client(n));
await Promise.all(clients.map((c) => c.ready));
process.stdout.write("ready\n");
await new Promise((ended) => process.stdin.on("end", ended).resume());

const logs = new Map();
for (const stream of new Set(clients.map((c) => c.stream))) logs.set(stream, await stored(stream));
const deadline = Date.now() + 30_000;
const behind = (c) => c.heard.length < logs.get(c.stream).length;
while (clients.some(behind) && Date.now() < deadline) await new Promise((turn) => setTimeout(turn, 20));
for (const c of clients) {
  const log = logs.get(c.stream);
  result.events += c.heard.length;
  result.missing += Math.max(0, log.length - c.heard.length);
  for (const [i, heard] of c.heard.entries()) {
    if (heard === log[i]) continue;
    result.different++;
    result.first ||= `${c.stream} ${i + 1}: heard ${heard}, stored ${log[i]}`;
  }
  c.close();
}
process.stdout.write(`${JSON.stringify(result)}\n`);
process.exit(0);
