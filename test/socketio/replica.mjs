// Follows rooms as the page does and writes one JSON object a line: {"event", "payload"}, {"ack"}, {"connected"},
// {"disconnect", "why"} and {"connect_error", "data"}. After a DISCONNECT of the server it connects again, as the page does.
// Usage: node replica.mjs <url> <token> <transport> <room> ...
import { io } from "socket.io-client";

const [url, token, transport, ...rooms] = process.argv.slice(2);
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const socket = io(`${url}/rt`, {
  path: "/api/socket.io",
  transports: transport.split(","),
  auth: { token },
  reconnectionDelay: 50,
  reconnectionDelayMax: 200,
});
let position;
const upgraded = () => say({ connected: socket.id, transport: socket.io.engine.transport.name });
socket.on("connect", () => {
  upgraded();
  socket.io.engine.once("upgrade", upgraded);
  socket.emit("rt.subscribe", position ? { rooms, position } : { rooms }, (ack) => {
    say({ ack });
    position ??= ack.position;
  });
});
socket.on("disconnect", (reason, details) => {
  say({ disconnect: reason, why: `${details?.message ?? ""} ${details?.description?.code ?? details?.description ?? ""}` });
  if (reason === "io server disconnect") setTimeout(() => socket.connect(), 100);
});
socket.on("connect_error", (error) => say({ connect_error: error.message, data: error.data }));
socket.onAny((event, payload) => {
  if (event === "rt.position") position = payload.position;
  say({ event, payload });
});
process.stdin.on("end", () => process.exit(0)).resume();
