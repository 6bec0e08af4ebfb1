// The official Socket.IO server doing the job of bench/peers/socketio. With a third
// argument, the address of a Redis server, it uses the Redis adapter.
import { createServer } from "node:http";
import { Server } from "socket.io";

const [host, port] = process.argv[2].split(":");
const web = createServer();
const io = new Server(web);
if (process.argv[3]) {
  const { createAdapter } = await import("@socket.io/redis-adapter");
  const { createClient } = await import("redis");
  const pub = createClient({ url: process.argv[3] });
  const sub = pub.duplicate();
  await Promise.all([pub.connect(), sub.connect()]);
  io.adapter(createAdapter(pub, sub));
}
const pad = "x".repeat(540);
io.on("connection", (socket) => {
  socket.on("join", (room, ack) => {
    socket.join(room);
    ack();
  });
  socket.on("publish", (q, ack) => {
    for (let i = 0; i < q.count; i++) {
      const event = { stamp: q.stamp, sequence: (q.first ?? 0) + i, pad };
      if (!q.rooms) io.to(q.room).emit("event", event);
      for (let n = 0; n < q.rooms; n++) io.to("own" + n).emit("event", event);
    }
    if (ack) ack();
  });
});
web.listen(Number(port), host);
