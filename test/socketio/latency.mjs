// Measures the way of an event from its append (before the commit) to the
// official client on the same machine: node latency.mjs <url> <API key> <flowchart id>.
// The flowchart takes {"text": …}, as the demo's samples do.
import { io } from "socket.io-client";

const [url, token, flowchart] = process.argv.slice(2);
const runs = 20;
const socket = io(`${url}/rt`, { path: "/api/socket.io", transports: ["websocket"], auth: { token } });
const took = [];
let ended = 0;

const finish = () => {
  took.sort((a, b) => a - b);
  const at = (q) => took[Math.min(took.length - 1, Math.floor(took.length * q))].toFixed(2);
  console.log(`${took.length} events: median ${at(0.5)} ms, p95 ${at(0.95)} ms, max ${at(1)} ms`);
  process.exit(0);
};

socket.onAny((event, envelope) => {
  if (!envelope?.emitted_at) return;
  const now = performance.timeOrigin + performance.now();
  const micros = Number(envelope.emitted_at.slice(23, 26)) / 1000;
  took.push(now - (Date.parse(`${envelope.emitted_at.slice(0, 23)}Z`) + micros));
  if (event === "flowchart:run:updated" && envelope.payload.status === "succeeded" && ++ended === runs) finish();
});
socket.on("connect_error", (error) => {
  console.error(error.message);
  process.exit(1);
});
socket.on("connect", () => {
  socket.emit("rt.subscribe", { rooms: [`flowchart:${flowchart}`] }, async () => {
    for (let i = 0; i < runs; i++) {
      await fetch(`${url}/api/flowcharts/${flowchart}/runs`, {
        method: "POST",
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        body: JSON.stringify({ input: { text: "A short text." } }),
      });
    }
  });
});
