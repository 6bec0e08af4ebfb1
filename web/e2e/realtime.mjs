// The live connection in a real browser: one socket for all tabs, handing over,
// a restart of the server, and polling when sockets are blocked. A proxy in
// between counts and blocks. Usage: node realtime.mjs <setup url>; writes
// "restart" when the server is to be restarted and reads "restarted".
import http from "node:http";
import net from "node:net";
import readline from "node:readline";
import { chromium } from "playwright-core";

const setup = new URL(process.argv[2]);
const account = { email: "admin@example.org", password: "a long password" };

// --- the proxy
const sockets = new Set(); // open WebSockets, both ends
let upgrades = 0;
let blocked = false;
const isSocket = (url) => url.startsWith("/api/socket.io");
const proxy = http.createServer((request, response) => {
  if (blocked && isSocket(request.url)) return void response.writeHead(503).end();
  const { method, url, headers } = request;
  const onward = http.request({ host: setup.hostname, port: setup.port, method, path: url, headers }, (a) => {
    response.writeHead(a.statusCode, a.headers);
    a.pipe(response);
  });
  onward.on("error", () => response.destroy());
  response.on("close", () => response.writableFinished || onward.destroy());
  request.pipe(onward);
});
proxy.on("upgrade", (request, socket, head) => {
  if (blocked) return socket.destroy();
  upgrades++;
  const onward = net.connect(Number(setup.port), setup.hostname, () => {
    const lines = Object.entries(request.headers).map(([k, v]) => `${k}: ${v}`);
    onward.write(`GET ${request.url} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`);
    onward.write(head);
    socket.pipe(onward).pipe(socket);
  });
  sockets.add(socket);
  const end = () => {
    sockets.delete(socket);
    socket.destroy();
    onward.destroy();
  };
  for (const s of [socket, onward]) s.on("error", end).on("close", end);
});
await new Promise((resolve) => proxy.listen(0, "127.0.0.1", resolve));
const origin = `http://127.0.0.1:${proxy.address().port}`;
const block = () => {
  blocked = true;
  for (const socket of sockets) socket.destroy();
};

// --- the browser
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"],
});
const wrong = [];
const started = Date.now();
const ok = (what) => process.stderr.write(`ok ${((Date.now() - started) / 1_000).toFixed(1)} s  ${what}\n`);
const must = (holds, what) => {
  if (!holds) throw new Error(what);
  ok(what);
};
async function until(what, holds, patience = 20_000) {
  const end = Date.now() + patience;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`not in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  ok(what);
}
const lines = readline.createInterface({ input: process.stdin });
const line = () => new Promise((resolve) => lines.once("line", resolve));

async function browserContext(more) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  if (more) await context.addInitScript(more);
  const call = async (method, path, data) => {
    const answer = await context.request.fetch(`${origin}/api${path}`, { method, data });
    if (!answer.ok()) throw new Error(`${method} ${path}: ${answer.status()} ${await answer.text()}`);
    return answer.status() === 204 ? undefined : answer.json();
  };
  return { context, call };
}

// What the dot says, one word after the other.
const watchDot = () => {
  window.said = [];
  const look = () => {
    const label = document.querySelector('button[aria-label^="Connection:"]')?.textContent;
    if (label && label !== window.said.at(-1)) window.said.push(label);
  };
  new MutationObserver(look).observe(document, { subtree: true, childList: true, characterData: true });
};
async function open(context, path) {
  const page = await context.newPage();
  page.on("pageerror", (error) => wrong.push(error.message));
  await page.addInitScript(watchDot);
  await page.goto(`${origin}/web${path}`);
  return page;
}
const dot = (page, label) => page.getByRole("button", { name: new RegExp(`^Connection: ${label}\\.`) });
const live = (page) => dot(page, "Live").waitFor();
const said = (page) => page.evaluate(() => window.said);

// The numbers that a tab shows of the counting script.
const shown = async (page) =>
  [...(await page.locator("main").innerText()).matchAll(/count (\d+)\b/g)].map((m) => Number(m[1]));
const inOrder = (numbers) => numbers.every((n, i) => n === numbers[0] + i);

const counting = {
  nodes: [
    { id: "start", kind: "start", position: { x: 0, y: 0 } },
    {
      id: "count",
      kind: "script",
      title: "Count",
      position: { x: 300, y: 0 },
      config: {
        shell: "sh",
        script: "i=0; while [ $i -lt 1000 ]; do echo count $i; i=$((i+1)); sleep 0.1; done",
      },
    },
  ],
  edges: [{ id: "e1", source: "start", target: "count", mode: "solid" }],
};

async function countingRun(call, flowchart) {
  const { flowchart_run } = await call("POST", `/flowcharts/${flowchart}/runs`, { input: {} });
  let node;
  await until("a run counts", async () => {
    const detail = await call("GET", `/flowchart-runs/${flowchart_run.id}`);
    node = detail.node_runs.find((n) => n.flowchart_node_id === "count" && n.status === "running");
    return node !== undefined;
  });
  return { id: flowchart_run.id, path: `/runs/${flowchart_run.id}?node=${node.id}&tab=logs` };
}

async function streams(pages, what) {
  const before = await Promise.all(pages.map(async (p) => (await shown(p)).at(-1) ?? -1));
  await until(what, async () => {
    const now = await Promise.all(pages.map(shown));
    return now.every((numbers, i) => (numbers.at(-1) ?? -1) >= before[i] + 5 && inOrder(numbers));
  });
}

/** Three tabs of one run: one socket, and one of them closes. */
async function together({ context, call }, flowchart, kind) {
  const run = await countingRun(call, flowchart);
  const first = await open(context, run.path);
  await live(first);
  const others = [await open(context, run.path), await open(context, run.path)];
  for (const page of others) await live(page);
  must(sockets.size === 1, `${kind}: three tabs share one socket (${sockets.size} open)`);
  await streams([first, ...others], `${kind}: all three show the stream`);
  await dot(others[0], "Live").hover();
  await others[0].getByText(/^3 tabs/).waitFor();
  if (process.env.SHOTS) await others[0].screenshot({ path: `${process.env.SHOTS}/card-${kind}.png` });
  await first.close();
  await streams(others, `${kind}: the others go on without a gap after the first one closed`);
  for (const page of others) await live(page);
  must(sockets.size === 1, `${kind}: over one socket`);
  await dot(others[0], "Live").hover();
  await others[0].getByText(/^2 tabs/).waitFor();
  await call("POST", `/flowchart-runs/${run.id}/cancel`);
  for (const page of others) await page.getByText("Cancelled", { exact: true }).first().waitFor();
  ok(`${kind}: both show the end`);
  return others;
}

async function restarts({ call }, flowchart, page) {
  const run = await countingRun(call, flowchart);
  await page.goto(`${origin}/web${run.path}`);
  await live(page);
  await streams([page], "the stream before the restart");
  process.stdout.write("restart\n");
  if ((await line()) !== "restarted") throw new Error("the server was not restarted");
  await live(page);
  const words = await said(page);
  must(
    words[words.length - 1] === "Live" && words.includes("Catching up"),
    `the dot said: ${words.join(", ")}`,
  );
  await call("POST", `/flowchart-runs/${run.id}/cancel`);
  await page.getByText("Cancelled", { exact: true }).first().waitFor();
  ok("the page has caught up and goes on");
}

async function blockedSockets({ context, call }, flowchart, page) {
  await page.goto(`${origin}/web/runs`);
  await live(page);
  block();
  const from = Date.now();
  const late = await open(context, "/runs");
  await dot(page, "Polling").waitFor();
  must(Date.now() - from > 2_900, `polling begins ${Date.now() - from} ms after the socket was lost`);
  await dot(late, "Polling").waitFor();
  const { flowchart_run } = await call("POST", `/flowcharts/${flowchart}/runs`, { input: {} });
  await page.getByText(`#${flowchart_run.id}`, { exact: true }).first().waitFor();
  ok("a new run appears by polling");
  blocked = false;
  for (const one of [page, late]) await live(one);
  ok("push is back by itself");
  await call("POST", `/flowchart-runs/${flowchart_run.id}/cancel`);
  return late;
}

async function blockedFromTheStart({ context }) {
  block();
  const from = Date.now();
  const page = await open(context, "/runs");
  await dot(page, "Polling").waitFor();
  must(Date.now() - from > 4_900, `polling begins ${Date.now() - from} ms after a page was opened`);
  blocked = false;
  await live(page);
  ok("push comes by itself");
  await page.close();
}

async function signsOut(pages) {
  await pages[0].goto(`${origin}/web/settings`);
  await pages[0].getByRole("button", { name: "Sign out" }).click();
  for (const page of pages) await page.waitForURL(/\/sign-in/);
  ok("signing out in one tab ends all");
  await until("no socket is left", () => sockets.size === 0);
}

try {
  const shared = await browserContext();
  const token = setup.searchParams.get("token");
  await shared.call("POST", "/auth/setup", { token, ...account });
  const { id } = await shared.call("POST", "/flowcharts", { name: "Counting", graph: counting });
  const [page, other] = await together(shared, id, "shared worker");
  await other.close();
  await restarts(shared, id, page);
  const late = await blockedSockets(shared, id, page);
  await signsOut([page, late]);
  await shared.context.close();

  const led = await browserContext(() => delete window.SharedWorker);
  await led.call("POST", "/auth/login", account);
  await blockedFromTheStart(led);
  await signsOut(await together(led, id, "leading tab"));
  must(upgrades < 30, `${upgrades} sockets were opened in all`);
  if (wrong.length > 0) throw new Error(`errors on the page: ${wrong.join("; ")}`);
  process.stdout.write("ok\n");
} catch (error) {
  process.stderr.write(`${error.stack}\n${wrong.join("\n")}\n`);
  const pages = browser.contexts().flatMap((c) => c.pages());
  for (const [i, page] of pages.entries()) {
    process.stderr.write(`${page.url()}: ${await said(page).catch(() => "?")}\n`);
    if (process.env.SHOTS)
      await page.screenshot({ path: `${process.env.SHOTS}/failed-${i}.png` }).catch(() => {});
  }
  process.exitCode = 1;
} finally {
  lines.close();
  process.stdin.destroy();
  await browser.close();
  proxy.close();
  proxy.closeAllConnections();
  for (const socket of sockets) socket.destroy();
}
