// Measures the way of an event from its append (before the commit) to the
// official client on the same machine:
//   node latency.mjs <url> <API key> <flowchart id> [runs=20] [at a time=runs]
// The flowchart takes {"text": …}, as the demo's samples do. The last line is JSON.
import { io } from "socket.io-client";

const [url, token, flowchart, total = "20", parallel = total] = process.argv.slice(2);
const runs = Number(total);
const socket = io(`${url}/rt`, { path: "/api/socket.io", transports: ["websocket"], auth: { token } });
const took = [];
let started = 0;
let ended = 0;

const finish = () => {
  took.sort((a, b) => a - b);
  const at = (q) => Number(took[Math.min(took.length - 1, Math.floor(took.length * q))].toFixed(3));
  const result = { events: took.length, median: at(0.5), p95: at(0.95), p99: at(0.99), max: at(1) };
  console.log(JSON.stringify(result));
  process.exit(0);
};

const start = async () => {
  started++;
  const answer = await fetch(`${url}/api/flowcharts/${flowchart}/runs`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify({ input: { text: "A short text." } }),
  });
  if (answer.status !== 202) throw new Error(`start: ${answer.status} ${await answer.text()}`);
};

socket.onAny((event, envelope) => {
  if (!envelope?.emitted_at) return;
  const now = performance.timeOrigin + performance.now();
  const micros = Number(envelope.emitted_at.slice(23, 26)) / 1000;
  took.push(now - (Date.parse(`${envelope.emitted_at.slice(0, 23)}Z`) + micros));
  if (event !== "flowchart:run:updated" || !["succeeded", "failed", "cancelled"].includes(envelope.payload.status)) return;
  if (envelope.payload.status !== "succeeded") throw new Error(`run ended ${envelope.payload.status}`);
  if (++ended === runs) finish();
  else if (started < runs) start();
});
socket.on("connect_error", (error) => {
  console.error(error.message);
  process.exit(1);
});
socket.on("connect", () => {
  socket.emit("rt.subscribe", { rooms: [`flowchart:${flowchart}`] }, async (ack) => {
    if (!ack.ok) throw new Error(JSON.stringify(ack));
    for (let i = 0; i < Number(parallel); i++) await start();
  });
});
