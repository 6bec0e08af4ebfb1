// The official adapter, emitter and client against our server, over one Redis. Started by interop_test.go:
//   node interop.mjs <url of our server> <url of Redis>
import { createServer } from "node:http";
import { createAdapter } from "@socket.io/redis-adapter";
import { Emitter } from "@socket.io/redis-emitter";
import { createClient } from "redis";
import { Server } from "socket.io";
import { io } from "socket.io-client";

const [ours, redisURL] = process.argv.slice(2);
const patience = 8000;
let passed = 0;
let failed = 0;

async function check(name, body) {
  try {
    await body();
    passed++;
    console.log(`ok    ${name}`);
  } catch (error) {
    failed++;
    console.log(`FAIL  ${name}: ${error.message}`);
  }
}

function equal(got, want) {
  const [a, b] = [JSON.stringify(got), JSON.stringify(want)];
  if (a !== b) throw new Error(`got ${a}, want ${b}`);
}

// A client that remembers what came.
class Client {
  constructor(name, url, transports) {
    this.name = name;
    this.got = [];
    this.waiting = [];
    this.socket = io(`${url}/rt`, { transports, reconnection: false, forceNew: true });
    this.socket.onAny((event, ...args) => {
      if (typeof args.at(-1) === "function") args.pop()(`${this.name} ${event}`);
      this.got.push([event, ...args]);
      this.waiting.splice(0).forEach((wake) => wake());
    });
    this.gone = new Promise((resolve) => this.socket.on("disconnect", resolve));
  }

  connected() {
    return new Promise((resolve, reject) => {
      this.socket.on("connect", resolve);
      this.socket.on("connect_error", reject);
    });
  }

  join(...rooms) {
    return this.socket.timeout(patience).emitWithAck("join", rooms);
  }

  // next waits for the next event, which must be this one.
  async next(want) {
    const deadline = Date.now() + patience;
    while (this.got.length === 0) {
      const left = deadline - Date.now();
      if (left <= 0) throw new Error(`${this.name} got nothing, want ${want}`);
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, left);
        this.waiting.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
    const event = this.got.shift();
    if (event[0] !== want) throw new Error(`${this.name} got ${JSON.stringify(event)}, want ${want}`);
    return event.slice(1);
  }
}

const pub = createClient({ url: redisURL });
const sub = pub.duplicate();
await Promise.all([pub.connect(), sub.connect()]);
const emitter = new Emitter(pub, {}, "/rt");

const web = createServer();
const node = new Server(web, { adapter: createAdapter(pub, sub, { requestsTimeout: 3000 }) });
node.of("/rt").on("connection", (socket) => {
  socket.on("join", (rooms, done) => {
    socket.join(rooms);
    done();
  });
});
await new Promise((resolve) => web.listen(0, "127.0.0.1", resolve));
const theirs = `http://127.0.0.1:${web.address().port}`;

const a = new Client("a", ours, ["websocket"]);
const b = new Client("b", ours, ["polling"]);
const c = new Client("c", ours, ["polling", "websocket"]);
const n = new Client("n", theirs, ["websocket"]);
const all = [a, b, c, n];
await Promise.all(all.map((client) => client.connected()));
await a.join("flowchart_run:7", "odd#room#");
await b.join("flowchart_run:8");
await c.join("flowchart_run:7", "flowchart_run:8");
await n.join("flowchart_run:7");

// Each of who gets the event, and nobody anything else: a mark for everybody follows and must be next.
let marks = 0;
async function only(who, event, want) {
  for (const client of who) equal(await client.next(event), want);
  const mark = `mark ${++marks}`;
  emitter.emit(mark);
  for (const client of all) await client.next(mark);
}

for (const [from, source] of [["emitter", emitter], ["node", node.of("/rt")]]) {
  await check(`${from}: to the whole namespace`, async () => {
    source.emit("all", 1, { deep: [null, true, 1.5, "ü\u0000😀", -3, 2 ** 40] });
    await only(all, "all", [1, { deep: [null, true, 1.5, "ü\u0000😀", -3, 2 ** 40] }]);
  });
  await check(`${from}: to a room`, async () => {
    source.to("flowchart_run:8").emit("room", "x");
    await only([b, c], "room", ["x"]);
  });
  await check(`${from}: to a room with a # in it`, async () => {
    source.to("odd#room#").emit("odd");
    await only([a], "odd", []);
  });
  await check(`${from}: to several rooms, once each`, async () => {
    source.to("flowchart_run:7").to("flowchart_run:8").emit("rooms");
    await only(all, "rooms", []);
  });
  await check(`${from}: to rooms except others`, async () => {
    source.to(["flowchart_run:7", "flowchart_run:8"]).except("flowchart_run:8").emit("some");
    await only([a, n], "some", []);
  });
  await check(`${from}: to all except one socket`, async () => {
    source.except(a.socket.id).emit("others");
    await only([b, c, n], "others", []);
  });
  await check(`${from}: to one socket`, async () => {
    source.to(b.socket.id).emit("one");
    await only([b], "one", []);
  });
  await check(`${from}: binary`, async () => {
    source.to("flowchart_run:8").emit("binary", Buffer.from([1, 2, 3]), { deep: [Buffer.from([255])] });
    for (const client of [b, c]) {
      const [first, second] = await client.next("binary");
      equal([...Buffer.from(first), ...Buffer.from(second.deep[0])], [1, 2, 3, 255]);
    }
  });
  await check(`${from}: a date and undefined`, async () => {
    source.to("flowchart_run:8").emit("odd values", new Date(1700000000123), undefined, { gone: undefined });
    for (const client of [b, c]) {
      const [date, nothing] = await client.next("odd values");
      equal([date, nothing], ["2023-11-14T22:13:20.123Z", null]);
    }
  });
  await check(`${from}: volatile`, async () => {
    source.volatile.to("flowchart_run:7").emit("volatile");
    await a.next("volatile"); // idle, so it can go out at once
    await n.next("volatile");
    await c.next("volatile");
  });
  await check(`${from}: sockets join and leave`, async () => {
    source.in("flowchart_run:8").socketsJoin(["new"]);
    source.to("new").emit("joined");
    await only([b, c], "joined", []);
    source.in(b.socket.id).socketsLeave("new");
    source.to("new").emit("left");
    await only([c], "left", []);
    source.socketsLeave("new");
    source.to("new").emit("nobody");
    await only([], "nobody");
  });
}

await check("node: answers are counted at once", async () => {
  const began = Date.now();
  const sockets = await node.of("/rt").fetchSockets();
  equal(sockets.map((s) => s.id).sort(), all.map((client) => client.socket.id).sort());
  const one = sockets.find((s) => s.id === c.socket.id);
  equal([...one.rooms].sort(), [c.socket.id, "flowchart_run:7", "flowchart_run:8"].sort());
  const rooms = await node.of("/rt").adapter.allRooms();
  equal(rooms.has("odd#room#"), true);
  if (Date.now() - began > 2500) throw new Error("it waited for an answer in vain");
});
await check("node: acknowledgements come from everywhere", async () => {
  const answers = await node.of("/rt").timeout(3000).emitWithAck("question", { x: 1 }, Buffer.from([7]));
  equal(answers.sort(), ["a question", "b question", "c question", "n question"]);
  for (const client of all) {
    const [x, seven] = await client.next("question");
    equal([x, Buffer.from(seven)[0]], [{ x: 1 }, 7]);
  }
});
await check("node: events between servers do no harm", async () => {
  node.of("/rt").serverSideEmit("hello", 1);
  emitter.serverSideEmit("hello", 2);
  await only([], "hello");
});

// Ours to the others: "shout" makes our server broadcast.
await check("ours: to the whole namespace", async () => {
  a.socket.emit("shout", { event: "shout all" }, 1, "ü", { y: [1.25, null] });
  await only(all, "shout all", [1, "ü", { y: [1.25, null] }]);
});
await check("ours: to a room", async () => {
  a.socket.emit("shout", { event: "shout room", rooms: ["flowchart_run:7"] });
  await only([a, c, n], "shout room", []);
});
await check("ours: to rooms except others", async () => {
  a.socket.emit("shout", { event: "shout some", rooms: ["flowchart_run:7", "flowchart_run:8"], except: ["flowchart_run:8"] });
  await only([a, n], "shout some", []);
});
await check("ours: binary", async () => {
  a.socket.emit("shout", { event: "shout binary", rooms: ["flowchart_run:7"] }, Buffer.from([9, 8]), { in: Buffer.from([7]) });
  for (const client of [a, c, n]) {
    const [first, second] = await client.next("shout binary");
    equal([...Buffer.from(first), ...Buffer.from(second.in)], [9, 8, 7]);
  }
});

await check("emitter: disconnect from the namespace", async () => {
  emitter.in("odd#room#").disconnectSockets();
  equal(await a.gone, "io server disconnect");
  equal(b.socket.connected && c.socket.connected && n.socket.connected, true);
});
await check("node: disconnect with the session", async () => {
  node.of("/rt").in("flowchart_run:8").disconnectSockets(true);
  equal(await b.gone, "io server disconnect");
  equal(await c.gone, "io server disconnect");
  equal(n.socket.connected, true);
});

console.log(`${passed} of ${passed + failed} checks passed`);
for (const client of all) client.socket.close();
await node.close();
pub.destroy();
sub.destroy();
process.exit(failed === 0 ? 0 : 1);
