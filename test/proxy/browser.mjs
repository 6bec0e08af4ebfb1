// The page in a real browser, wherever a proxy mounts it.
// Usage: node browser.mjs <base> <email> <password>; prints what it saw as JSON.
import { createRequire } from "node:module";

const { chromium } = createRequire(new URL("../../web/package.json", import.meta.url))("playwright-core");
const [base, email, password] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"],
});
const page = await browser.newPage({ ignoreHTTPSErrors: true });
// Without a shared worker the page holds the socket itself, where it can be seen.
await page.addInitScript(() => {
  delete globalThis.SharedWorker;
});
const seen = { errors: [], failed: [], outside: [], sockets: [] };
page.on("pageerror", (error) => seen.errors.push(error.message));
page.on("response", (response) => {
  if (!response.url().startsWith(`${base}/`)) seen.outside.push(response.url());
  // Before signing in, the page asks who is signed in, and is told nobody.
  if (response.status() >= 400 && response.status() !== 401) seen.failed.push(`${response.status()} ${response.url()}`);
});
const socket = new Promise((resolve, reject) => {
  setTimeout(() => reject(new Error("no socket within 30 s")), 30_000).unref();
  page.on("websocket", (ws) => {
    seen.sockets.push(ws.url());
    ws.on("framereceived", resolve);
  });
});

try {
  await page.goto(`${base}/`);
  await page.getByLabel(/e-?mail/i).fill(email);
  await page.locator("input[type=password]").fill(password);
  await page.keyboard.press("Enter");
  await page.getByRole("link", { name: "Flowcharts" }).first().click();
  await page.waitForURL(`${base}/web/flowcharts`);
  await socket;
  // A deep link, opened anew.
  await page.reload();
  await page.getByRole("link", { name: "Flowcharts" }).first().waitFor();
  process.stdout.write(`${JSON.stringify({ ...seen, url: page.url() })}\n`);
} catch (error) {
  process.stderr.write(`${page.url()}\n${JSON.stringify(seen)}\n${error}\n${(await page.content()).slice(0, 2000)}\n`);
  process.exitCode = 1;
} finally {
  await browser.close();
}
