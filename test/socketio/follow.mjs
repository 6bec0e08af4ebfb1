// Follows rooms with the official client and writes one JSON object a line:
// {"event", "payload"} for each event, {"ack"} for answers of rt.subscribe.
// Usage: node follow.mjs <url> <token> <transport> <room> ...
// STUDIO_SOCKET_PATH is the endpoint's path, if it is not the usual one.
import { io } from "socket.io-client";

const [url, token, transport, ...rooms] = process.argv.slice(2);
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const socket = io(`${url}/rt`, {
  path: process.env.STUDIO_SOCKET_PATH ?? "/api/socket.io",
  transports: transport.split(","),
  auth: { token },
  reconnectionDelay: 50,
  reconnectionDelayMax: 200,
});
let position;
socket.on("connect", () => {
  socket.emit("rt.subscribe", position ? { rooms, position } : { rooms }, (ack) => {
    say({ ack });
    position ??= ack.position;
  });
});
socket.on("connect_error", (error) => say({ connect_error: error.message, data: error.data }));
socket.onAny((event, payload) => {
  if (event === "rt.position") position = payload.position;
  say({ event, payload });
});
process.stdin.on("end", () => process.exit(0)).resume();
