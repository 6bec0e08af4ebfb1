// Follows answers that are being written, one client a turn, with the official client: loads the thread, goes on with
// what comes after, and now and then begins anew as another device would. In the end each client's text is held against
// the stored one, byte for byte, and the result is written as one JSON object. Tokens are "<milliseconds>;", so that the
// time from the model to the client can be told: of those that were said while the client was listening, not of what it
// caught up with.
// Usage: node threads.mjs <url> <token> <refresh chance per event> <thread>:<turn> ...
import { io } from "socket.io-client";

const [url, token, chance, ...turns] = process.argv.slice(2);
const headers = { Authorization: `Bearer ${token}` };
const result = { clients: turns.length, different: 0, unfinished: 0, gaps: 0, breaks: 0, refreshes: 0, resyncs: 0, attempts: 0, tokens: 0, p50: 0, p99: 0, first: "" };
const latencies = [];
const pause = (ms) => new Promise((turn) => setTimeout(turn, ms));

// get asks until somebody answers: web workers die here.
async function get(path) {
  for (let wait = 20; ; wait = Math.min(2 * wait, 500)) {
    try {
      const answer = await fetch(url + path, { headers, signal: AbortSignal.timeout(10_000) });
      if (answer.ok) return await answer.json();
      if (answer.status < 500) throw new Error(`${path}: ${answer.status}`);
    } catch (error) {
      if (String(error.message).startsWith(path)) throw error;
    }
    await pause(wait);
  }
}

function client(pair) {
  const [thread, turn] = pair.split(":").map(Number);
  const c = { thread, turn, text: "", length: 0, attempt: 0, final: undefined, seen: {}, ended: false, listening: Number.POSITIVE_INFINITY };
  const streams = { thread: `thread:${thread}`, turn: `turn:${turn}` };
  let generation = 0;
  let loading;
  const socket = io(`${url}/rt`, {
    path: "/api/socket.io", transports: ["websocket"], auth: { token }, forceNew: true, autoConnect: false,
    reconnectionDelay: 50, reconnectionDelayMax: 500,
  });
  async function load() {
    const mine = ++generation;
    const state = await get(`/api/threads/${thread}`);
    if (mine !== generation) return;
    c.text = "";
    c.length = 0;
    c.final = undefined;
    c.attempt = 0;
    c.seen = { [streams.thread]: state.as_of.sequence };
    if (state.live?.turn_id === turn) {
      c.text = state.live.text;
      c.length = [...c.text].length;
      c.attempt = state.live.attempt;
      c.seen[streams.turn] = state.live.as_of.sequence;
      return;
    }
    const message = state.messages.find((m) => m.turn_id === turn && m.role === "assistant");
    if (message && message.status !== "pending") {
      c.text = message.content;
      finish();
    } else {
      c.seen[streams.turn] = 0;
    }
  }
  function subscribe() {
    socket.emit("rt.subscribe", { rooms: [streams.thread], after: c.seen }, (ack) => {
      c.listening = Date.now();
      if (ack.resync?.length > 0) {
        result.resyncs++;
        refresh();
      }
    });
  }
  function refresh() {
    loading = load().then(() => {
      if (socket.connected) {
        socket.disconnect().connect();
      }
    });
  }
  function finish() {
    if (c.ended) return;
    c.ended = true;
    socket.close();
    c.end();
  }
  socket.on("connect", async () => {
    await loading;
    if (!c.ended) subscribe();
  });
  socket.on("disconnect", (reason) => {
    c.listening = Number.POSITIVE_INFINITY;
    if (reason !== "io client disconnect") result.breaks++;
    if (reason === "io server disconnect") socket.connect();
  });
  socket.onAny((_event, envelope) => {
    const stream = envelope?.sequence_stream;
    if (c.ended || !(stream in c.seen)) return;
    if (envelope.sequence <= c.seen[stream]) return;
    if (envelope.sequence > c.seen[stream] + 1) result.gaps++;
    c.seen[stream] = envelope.sequence;
    const p = envelope.payload;
    if (envelope.event_type === "thread:turn:delta") {
      if (p.attempt < c.attempt) return;
      if (p.attempt > c.attempt) {
        c.attempt = p.attempt;
        c.text = "";
        c.length = 0;
      }
      if (c.length !== p.offset) result.gaps++;
      c.text += p.text;
      c.length = p.offset + [...p.text].length;
      const oldest = Number(p.text.split(";")[0]);
      if (oldest > 1e12 && oldest > c.listening) latencies.push(Date.now() - oldest);
      result.tokens++;
      if (Math.random() < Number(chance)) {
        result.refreshes++;
        refresh();
      }
    } else if (envelope.event_type === "thread:turn:completed" && p.turn_id === turn) {
      c.final = p;
    }
    // The streams are ordered each by itself: the last pieces may come after the end.
    if (c.final && c.final.attempt === c.attempt && c.length === c.final.characters) finish();
  });
  c.done = new Promise((end) => {
    c.end = end;
  });
  loading = load().then(() => !c.ended && socket.connect());
  return c;
}

const clients = turns.map(client);
await Promise.race([Promise.all(clients.map((c) => c.done)), pause(240_000)]);
for (const c of clients) {
  const { items } = await get(`/api/threads/${c.thread}/messages?limit=200`);
  const stored = items.find((m) => m.turn_id === c.turn && m.role === "assistant");
  if (!c.ended || stored.status === "pending") result.unfinished++;
  result.attempts += c.attempt;
  if (stored.content !== c.text) {
    result.different++;
    result.first ||= `thread ${c.thread}: heard ${c.text.length} ${c.text.slice(-80)}, stored ${stored.content.length} ${stored.content.slice(-80)}`;
  }
}
latencies.sort((a, b) => a - b);
result.p50 = latencies[Math.floor(latencies.length * 0.5)] ?? 0;
result.p99 = latencies[Math.floor(latencies.length * 0.99)] ?? 0;
process.stdout.write(`${JSON.stringify(result)}\n`);
process.exit(0);
