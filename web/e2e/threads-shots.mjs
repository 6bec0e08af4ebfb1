import { chromium } from "playwright-core";
const [base, folder, only] = process.argv.slice(2);
const account = { email: "admin@example.org", password: "a long password" };
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"] });
const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, reducedMotion: "reduce" });
const api = `${new URL(base).origin}/api`;
const call = async (method, path, data) => {
  const answer = await context.request.fetch(`${api}${path}`, { method, data });
  if (!answer.ok()) throw new Error(`${method} ${path}: ${answer.status()} ${await answer.text()}`);
  return answer.status() === 204 ? undefined : answer.json();
};
await call("POST", "/auth/login", account);
const providers = (await call("GET", "/providers")).items;
let p = providers.find((x) => x.name === "Scripted");
if (!p) p = await call("POST", "/providers", { name: "Scripted", kind: "openai", base_url: "http://127.0.0.1:5398/v1", api_key: "x" });
let m = (await call("GET", "/models")).items.find((x) => x.name === "Writer");
if (!m) m = await call("POST", "/models", { name: "Writer", provider_id: p.id, model: "writer-1", config: { context_window_tokens: 32000 } });
await call("PATCH", "/settings/chat_runtime", { prices: [{ model_id: m.id, input: 2.5, cached_input: 0.25, output: 10 }] });
const page = await context.newPage();
page.on("pageerror", (e) => process.stderr.write(`page error: ${e.message}\n`));
page.on("console", (x) => x.type() === "error" && process.stderr.write(`console: ${x.text()}\n`));
const done = async (t) => { for (let i = 0; i < 300; i++) { const d = await call("GET", `/threads/${t}`); if (!d.busy) return d; await new Promise((r) => setTimeout(r, 100)); } throw new Error("busy"); };
const shoot = async (name, open, sizes = [[1440, 900], [1024, 768]], schemes = ["dark", "light"]) => {
  if (only && !name.includes(only)) return;
  for (const [width, height] of sizes) for (const scheme of schemes) {
    await page.setViewportSize({ width, height });
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: "reduce" });
    await open();
    await page.screenshot({ path: `${folder}/${name}-${width}-${scheme}.png` });
  }
};
const at = (path, then) => async () => { await page.goto(`${base}${path}`); await page.locator("main").waitFor(); if (then) await then(); await page.waitForTimeout(500); };
export { account, api, at, base, browser, call, context, done, m, page, shoot };
