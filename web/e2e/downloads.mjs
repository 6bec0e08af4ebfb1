// Screenshots of the pages of downloads, of a running Studio with a hub behind it that
// has acme/Falcon-7B-Instruct, acme/tiny, acme/broken and acme/gated.
// Usage: node downloads.mjs <base url> <folder>
import { chromium } from "playwright-core";

const [base, folder] = process.argv.slice(2);
const account = { email: process.env.STUDIO_EMAIL, password: process.env.STUDIO_PASSWORD };
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"],
});
const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, reducedMotion: "reduce" });
const api = `${new URL(base).origin}/api`;
const call = async (method, path, data) => {
  const answer = await context.request.fetch(`${api}${path}`, { method, data });
  if (!answer.ok()) throw new Error(`${method} ${path}: ${answer.status()} ${await answer.text()}`);
  return answer.json();
};
await context.request.fetch(`${api}/auth/login`, { method: "POST", data: account });
const page = await context.newPage();
page.on("pageerror", (error) => process.stderr.write(`page error: ${error.message}\n`));
page.on("console", (m) => m.type() === "error" && process.stderr.write(`console: ${m.text()}\n`));

async function shoot(
  name,
  open,
  sizes = [
    [1440, 900],
    [1024, 768],
  ],
) {
  for (const [width, height] of sizes) {
    for (const scheme of ["dark", "light"]) {
      await page.setViewportSize({ width, height });
      await page.emulateMedia({ colorScheme: scheme, reducedMotion: "reduce" });
      await open();
      await page.waitForTimeout(250);
      await page.screenshot({ path: `${folder}/${name}-${width}-${scheme}.png` });
    }
  }
}
const at = (path) => async () => {
  await page.goto(`${base}${path}`);
  await page.locator("main").waitFor();
  await page.waitForTimeout(600);
};
const until = async (id, ok) => {
  for (let i = 0; i < 400; i++) {
    const job = await call("GET", `/downloads/${id}`);
    if (ok(job)) return job;
    await page.waitForTimeout(100);
  }
  throw new Error(`download ${id} did not get there`);
};

await shoot("downloads-empty", at("/downloads"));
await shoot("downloads-plan", async () => {
  await at("/downloads/new")();
  await page.getByLabel("Model", { exact: true }).fill("acme/Falcon-7B-Instruct");
  await page.getByLabel("Not these").fill("*.onnx");
  await page.getByRole("button", { name: "Look at it" }).click();
  await page.getByText("to download").first().waitFor();
});
await shoot("downloads-refused", async () => {
  await at("/downloads/new")();
  await page.getByLabel("Model", { exact: true }).fill("acme/nothing");
  await page.getByRole("button", { name: "Look at it" }).click();
  await page.getByRole("alert").waitFor();
}, [[1440, 900]]);
// Started by the page itself, as people do.
await at("/downloads/new")();
await page.getByLabel("Model", { exact: true }).fill("acme/Falcon-7B-Instruct");
await page.getByRole("button", { name: "Look at it" }).click();
await page.getByRole("button", { name: "Download", exact: true }).click();
await page.waitForURL(/downloads\/\d+$/);
const big = Number(page.url().split("/").at(-1));
const broken = await call("POST", "/downloads", { repo_id: "acme/broken" });
const tiny = await call("POST", "/downloads", { repo_id: "acme/tiny" });
await until(big, (j) => j.status === "downloading" && j.bytes_done > 20e6);
await page.waitForTimeout(4000);
let reads = 0;
page.on("request", (r) => r.url().includes(`/api/downloads/${big}`) && reads++);
const before = await page.locator("[aria-label='Progress']").getAttribute("aria-valuenow");
await page.waitForTimeout(4000);
const after = await page.locator("[aria-label='Progress']").getAttribute("aria-valuenow");
process.stdout.write(`live: ${before} % -> ${after} %, ${reads} requests\n`);
await page.setViewportSize({ width: 1440, height: 900 });
await page.emulateMedia({ colorScheme: "dark", reducedMotion: "reduce" });
await page.screenshot({ path: `${folder}/downloads-live-1440-dark.png` });
await page.emulateMedia({ colorScheme: "light", reducedMotion: "reduce" });
await page.setViewportSize({ width: 1024, height: 768 });
await page.waitForTimeout(600);
await page.screenshot({ path: `${folder}/downloads-live-1024-light.png` });
await until(broken.id, (j) => j.status === "failed");
await until(tiny.id, (j) => j.status === "succeeded");
await shoot("downloads-list", at("/downloads"));
await page.goto(`${base}/downloads/${big}`);
await page.getByRole("button", { name: "Pause" }).click();
await page.getByRole("button", { name: "Resume" }).waitFor();
await shoot("downloads-paused", at(`/downloads/${big}`), [[1440, 900]]);
await shoot("downloads-failed", at(`/downloads/${broken.id}`), [[1440, 900]]);
await shoot("downloads-done", at(`/downloads/${tiny.id}`), [[1440, 900]]);
await shoot("downloads-delete", async () => {
  await at(`/downloads/${tiny.id}`)();
  await page.getByRole("button", { name: "Delete" }).click();
  await page.getByRole("dialog").waitFor();
  await page.getByRole("dialog").getByRole("switch").click({ force: true });
}, [[1440, 900]]);
await browser.close();
