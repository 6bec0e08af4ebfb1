// One build below any prefix: a small proxy mounts a running Studio below /studio,
// strips it and says so in X-Forwarded-Prefix; the browser must never leave it. The
// Studio has to trust one such header. Usage: node prefix.mjs <base url>
import http from "node:http";
import net from "node:net";
import { chromium } from "playwright-core";

const target = new URL(process.argv[2]);
const prefix = process.env.STUDIO_PREFIX ?? "/studio";
const account = { email: process.env.STUDIO_EMAIL, password: process.env.STUDIO_PASSWORD };

const wrong = [];
const inside = (url) => url === prefix || url.startsWith(`${prefix}/`);
const strip = (url) => url.slice(prefix.length) || "/";
const forwarded = (request, host) => ({ ...request.headers, host, "x-forwarded-prefix": prefix });
const proxy = http.createServer((request, response) => {
  if (!inside(request.url)) {
    wrong.push(request.url);
    response.writeHead(404).end("outside of the prefix");
    return;
  }
  const onward = http.request(
    {
      host: target.hostname,
      port: target.port,
      method: request.method,
      path: strip(request.url),
      headers: forwarded(request, request.headers.host),
    },
    (answer) => {
      if (/\/shared-worker-[^/]*\.js$/.test(request.url) && answer.statusCode === 200) workers++;
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    },
  );
  onward.on("error", () => response.destroy());
  request.pipe(onward);
});
// The page's socket is in a worker, which the browser's events do not tell of.
let sockets = 0;
let workers = 0;
proxy.on("upgrade", (request, socket, head) => {
  sockets++;
  if (!inside(request.url)) {
    wrong.push(request.url);
    return socket.destroy();
  }
  const onward = net.connect(Number(target.port), target.hostname, () => {
    const headers = Object.entries(forwarded(request, request.headers.host));
    onward.write(
      `GET ${strip(request.url)} HTTP/1.1\r\n${headers.map(([k, v]) => `${k}: ${v}`).join("\r\n")}\r\n\r\n`,
    );
    onward.write(head);
    socket.pipe(onward).pipe(socket);
  });
  onward.on("error", () => socket.destroy());
  socket.on("error", () => onward.destroy());
});
await new Promise((resolve) => proxy.listen(0, "127.0.0.1", resolve));
const origin = `http://127.0.0.1:${proxy.address().port}`;
const base = `${origin}${prefix}/web`;

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"],
});
const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
page.on("request", (r) => {
  const url = new URL(r.url());
  if (url.protocol.startsWith("http") && (url.origin !== origin || !inside(url.pathname)))
    wrong.push(r.url());
});
page.on("response", (r) => {
  if (r.status() >= 400 && r.status() !== 401) wrong.push(`${r.status()} ${r.url()}`);
});
page.on("pageerror", (error) => wrong.push(error.message));
try {
  await page.goto(`${base}`);
  await page.getByLabel("Email").fill(account.email);
  await page.getByRole("textbox", { name: "Password" }).fill(account.password);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Overview" }).waitFor();
  await page.getByRole("button", { name: /^Connection: Live/ }).waitFor();
  for (const name of ["Flowcharts", "Runs", "Models", "Settings"]) {
    await page.getByRole("link", { name, exact: true }).first().click();
    await page.getByRole("heading", { name, exact: true }).first().waitFor();
  }
  const graph = {
    nodes: [
      { id: "start", kind: "start", position: { x: 0, y: 0 } },
      { id: "run", kind: "script", position: { x: 300, y: 0 }, config: { script: "echo", shell: "sh" } },
    ],
    edges: [],
  };
  const data = { name: "Below a prefix", graph };
  const made = await page.request.post(`${origin}${prefix}/api/flowcharts`, { data });
  if (!made.ok()) throw new Error(`the flowchart was not made: ${made.status()}`);
  await page.goto(`${base}/flowcharts`);
  await page.getByRole("link", { name: "Below a prefix" }).first().click();
  await page.locator('.react-flow__node[data-id="run"]').click();
  await page.locator(".cm-editor").first().waitFor();
  await page.reload();
  await page.locator(".react-flow__node").first().waitFor();
  await page.keyboard.press("Control+k");
  await page.getByPlaceholder(/Go to a page/).waitFor();
  const fonts = await page.evaluate(() =>
    document.fonts.ready.then((all) => [...all].filter((f) => f.status === "error").length),
  );
  if (fonts > 0) wrong.push(`${fonts} fonts did not load`);
  if (sockets === 0) wrong.push("no WebSocket was opened");
  if (workers === 0) wrong.push("the shared worker was not loaded");
  if (wrong.length > 0) throw new Error(wrong.join("\n"));
  process.stdout.write("ok\n");
} catch (error) {
  if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/prefix.png` });
  process.stderr.write(`${page.url()}\n${error}\n${wrong.join("\n")}\n`);
  process.exitCode = 1;
} finally {
  await browser.close();
  proxy.close();
  proxy.closeAllConnections();
}
