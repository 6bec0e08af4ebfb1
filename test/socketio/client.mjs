// Checks our Socket.IO server with the official client, once per transport setting.
// Usage: node client.mjs <url>
import { io } from "socket.io-client";

const url = process.argv[2];
const limit = 10_000;
let passed = 0;
let total = 0;

function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no ${what} within ${limit} ms`)), limit);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

const next = (emitter, event) =>
  within(new Promise((resolve) => emitter.once(event, (...args) => resolve(args))), event);

function equal(got, want) {
  const [a, b] = [JSON.stringify(got), JSON.stringify(want)];
  if (a !== b) throw new Error(`got ${a.slice(0, 200)}, want ${b.slice(0, 200)}`);
}

const settings = [
  { name: "websocket", transports: ["websocket"], final: "websocket" },
  { name: "polling", transports: ["polling"], final: "polling" },
  { name: "polling+websocket", transports: ["polling", "websocket"], final: "websocket" },
];

for (const setting of settings) {
  const open = (namespace = "/", options = {}) =>
    io(url + namespace, {
      transports: setting.transports,
      forceNew: true,
      reconnectionDelay: 20,
      reconnectionDelayMax: 50,
      ...options,
    });

  const check = async (name, run) => {
    total += 1;
    const sockets = [];
    const track = (...args) => {
      const socket = open(...args);
      sockets.push(socket);
      return socket;
    };
    try {
      await run(track);
      passed += 1;
      console.log(`ok   ${setting.name}: ${name}`);
    } catch (error) {
      console.log(`FAIL ${setting.name}: ${name}: ${error.message}`);
    } finally {
      for (const socket of sockets) socket.disconnect();
    }
  };

  // Resolves when the client has settled on its transport.
  const settled = async (socket) => {
    if (!socket.connected) await next(socket, "connect");
    if (socket.io.engine.transport.name !== setting.final) await next(socket.io.engine, "upgrade");
    equal(socket.io.engine.transport.name, setting.final);
  };

  await check("connects and is welcomed", async (open) => {
    const socket = open();
    const [welcome] = await next(socket, "welcome");
    equal(welcome, { id: socket.id, transport: setting.transports[0] });
  });

  await check("settles on its transport, and the server knows", async (open) => {
    const socket = open();
    await settled(socket);
    equal(await within(socket.emitWithAck("transport"), "ack"), setting.final);
  });

  await check("is let in with a token", async (open) => {
    const socket = open("/guarded", { auth: { token: "secret" } });
    equal(await next(socket, "principal"), ["ada"]);
  });

  await check("is refused without one, and told why", async (open) => {
    const socket = open("/guarded");
    const [error] = await next(socket, "connect_error");
    equal([error.message, error.data], ["refused", { code: "unauthenticated" }]);
  });

  await check("is refused in an unknown namespace", async (open) => {
    const [error] = await next(open("/nowhere"), "connect_error");
    equal(error.message, "Invalid namespace");
  });

  await check("two namespaces on one session", async (open) => {
    const first = open();
    await next(first, "connect");
    const second = first.io.socket("/guarded", { auth: { token: "secret" } });
    equal(await next(second, "principal"), ["ada"]);
    second.disconnect();
    equal(await within(first.emitWithAck("still", 1), "ack"), 1);
  });

  await check("echo keeps values", async (open) => {
    const socket = open();
    const values = [1, -2.5, "zażółć \u2028 \u001e <&> 🙂", null, true, { a: [{}], b: "x" }, []];
    socket.emit("echo", ...values);
    equal(await next(socket, "echo"), values);
  });

  await check("acknowledges", async (open) => {
    const socket = open();
    equal(await within(socket.emitWithAck("sum", { n: 1 }), "ack"), { n: 1 });
  });

  await check("answers a call of the server", async (open) => {
    const socket = open();
    socket.on("question", (a, b, reply) => reply(a * b));
    await next(socket, "connect");
    socket.emit("ask", "x");
    equal(await next(socket, "answered"), ["x", 42]);
  });

  await check("binary there and back, nested", async (open) => {
    const socket = open();
    const bytes = Buffer.from(Array.from({ length: 70_000 }, (_, i) => i % 256));
    socket.emit("binary", { deep: [bytes] }, "and text", Buffer.from([1, 2, 3]));
    const [first, text, last] = await next(socket, "binary");
    if (!bytes.equals(first.deep[0])) throw new Error("first attachment differs");
    equal([text, [...last]], ["and text", [1, 2, 3]]);
  });

  await check("binary acknowledgement", async (open) => {
    const socket = open();
    const reply = new Promise((resolve) => socket.emit("blob", Buffer.from([9, 8]), (...args) => resolve(args)));
    const [bytes, length] = await within(reply, "ack");
    equal([[...bytes], length], [[9, 8], 2]);
  });

  await check("200 events keep their order both ways, across the upgrade", async (open) => {
    const socket = open();
    const [echoed, pushed] = [[], []];
    const done = new Promise((resolve) => {
      const look = () => echoed.length === 200 && pushed.length === 200 && resolve();
      socket.on("n", (n) => { echoed.push(n); look(); });
      socket.on("burst", (n) => { pushed.push(n); look(); });
    });
    await next(socket, "connect");
    socket.emit("burst");
    for (let i = 0; i < 200; i++) {
      socket.emit("n", i);
      if (i % 20 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await within(done, "200 events");
    const want = Array.from({ length: 200 }, (_, i) => i);
    equal(echoed, want);
    equal(pushed, want);
  });

  await check("a message of 300 KB", async (open) => {
    const socket = open();
    const big = "0123456789".repeat(30_000);
    equal(await within(socket.emitWithAck("big", big), "ack"), big);
  });

  await check("reconnects by itself when the server restarts", async (open) => {
    const socket = open();
    await settled(socket);
    const before = socket.id;
    const gone = next(socket, "disconnect");
    socket.emit("restart");
    // A polling client that was between two polls finds its session unknown.
    const reasons = ["transport close", ...(setting.final === "polling" ? ["transport error"] : [])];
    const [reason] = await gone;
    if (!reasons.includes(reason)) throw new Error(`disconnected for ${reason}`);
    await next(socket, "connect");
    if (socket.id === before) throw new Error("same id after reconnect");
    equal(await within(socket.emitWithAck("again", 5), "ack"), 5);
  });

  await check("stays away when the server ends the session", async (open) => {
    const socket = open();
    await settled(socket);
    const gone = next(socket, "disconnect");
    socket.emit("kick");
    equal((await gone)[0], "io server disconnect");
    equal(socket.active, false);
  });

  await check("stays away when the server ends the namespace", async (open) => {
    const socket = open();
    await next(socket, "connect");
    const gone = next(socket, "disconnect");
    socket.emit("leave");
    equal((await gone)[0], "io server disconnect");
  });
}

console.log(`${passed} of ${total} checks passed`);
process.exit(passed === total ? 0 : 1);
