// The editor by keyboard, the sheets and the drawer of a small window, a stale save
// and reduced motion, in a real browser. Usage: node keyboard.mjs <base url>
import { chromium } from "playwright-core";

const [base] = process.argv.slice(2);
const account = { email: process.env.STUDIO_EMAIL, password: process.env.STUDIO_PASSWORD };
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"],
});
const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
const api = `${new URL(base).origin}${process.env.STUDIO_API ?? "/api"}`;
const call = async (method, path, data, headers) => {
  const answer = await context.request.fetch(`${api}${path}`, { method, data, headers });
  if (!answer.ok()) throw new Error(`${method} ${path}: ${answer.status()} ${await answer.text()}`);
  return answer.status() === 204 ? undefined : answer.json();
};
await call("POST", "/auth/login", account);
const graph = {
  nodes: [
    { id: "start", kind: "start", title: "Start", position: { x: 0, y: 0 }, config: {} },
    {
      id: "one",
      kind: "script",
      title: "One",
      position: { x: 300, y: 0 },
      config: { script: "echo", shell: "sh" },
    },
    { id: "end", kind: "end", title: "End", position: { x: 600, y: 0 }, config: {} },
  ],
  edges: [{ id: "e1", source: "start", target: "one", mode: "solid" }],
};
const { id } = await call("POST", "/flowcharts", { name: `Keys ${Date.now()}`, graph });

const page = await context.newPage();
const problems = [];
page.on("pageerror", (error) => problems.push(error.message));
let failed = 0;
async function check(what, holds) {
  let why = "";
  for (let i = 0; i < 40; i++) {
    try {
      if (await holds()) {
        process.stdout.write(`ok   ${what}\n`);
        return;
      }
      why = "";
    } catch (error) {
      why = String(error);
    }
    await page.waitForTimeout(50);
  }
  failed++;
  process.stdout.write(`FAIL ${what} ${why}\n`);
}
const nodes = () => page.locator(".react-flow__node").count();
const edges = () => page.locator(".react-flow__edge").count();
const selected = () => page.locator(".react-flow__node.selected").allTextContents();
const focused = () => page.evaluate(() => document.activeElement?.getAttribute("data-id"));
const place = (node) =>
  page.locator(`.react-flow__node[data-id="${node}"]`).evaluate((e) => e.style.transform);
const key = (name) => page.keyboard.press(name);
/** Waits until the view has stood still over two frames. */
const still = () =>
  page.waitForFunction(
    () =>
      new Promise((settled) => {
        const viewport = document.querySelector(".react-flow__viewport");
        const before = viewport?.style.transform;
        requestAnimationFrame(() =>
          requestAnimationFrame(() => settled(Boolean(before) && viewport.style.transform === before)),
        );
      }),
  );
const open = async () => {
  await page.goto(`${base}/flowcharts/${id}`);
  await page.locator(".react-flow__node").first().waitFor();
  await still();
};

await open();
// Tab until the canvas' first node has the focus.
for (let i = 0; i < 40 && (await focused()) !== "start"; i++) await key("Tab");
await check("Tab reaches the first node", async () => (await focused()) === "start");
await key("Tab");
await check("Tab goes on to the next node", async () => (await focused()) === "one");
await key("Enter");
await check("Enter selects it", async () => (await selected()).join().includes("One"));
const before = await place("one");
await key("ArrowDown");
await key("ArrowRight");
await check("arrows move it", async () => (await place("one")) !== before);
await key("Control+z");
await key("Control+z");
await check("Ctrl-Z takes it back", async () => (await place("one")) === before);
await key("Control+y");
await check("Ctrl-Y does it again", async () => (await place("one")) !== before);
await key("e");
await check("E begins to connect", () => page.getByText(/Connecting from/).isVisible());
await key("Tab");
for (let i = 0; i < 10 && (await focused()) !== "end"; i++) await key("Tab");
await key("Enter");
await check("choosing the other node connects", async () => (await edges()) === 2);
await key("Control+d");
await check("Ctrl-D duplicates", async () => (await nodes()) >= 3 && (await selected()).length === 1);
const afterDuplicate = await nodes();
await key("Control+a");
await check("Ctrl-A selects everything", async () => (await selected()).length === (await nodes()));
await key("Escape");
await check("Esc selects nothing", async () => (await selected()).length === 0);
await key("/");
await page.keyboard.type("dec");
await key("Enter");
await check("/ adds a node by its name", async () => (await nodes()) === afterDuplicate + 1);
await check("the new node is selected", async () => (await selected()).join().includes("Decision"));
await page.evaluate(() => document.activeElement instanceof HTMLElement && document.activeElement.blur());
await key("Delete");
await check("Delete removes it", async () => (await nodes()) === afterDuplicate);
const view = () => page.locator(".react-flow__viewport").evaluate((e) => e.style.transform);
const box = await page.locator(".react-flow__pane").boundingBox();
await page.mouse.move(box.x + 300, box.y + 300);
const fitted = await view();
await page.mouse.wheel(0, 600);
await check("the wheel zooms", async () => (await view()) !== fitted);
await still();
const zoomed = await view();
await key("f");
await check("F fits", async () => (await view()) !== zoomed);
await key("l");
await check("L lays out", async () => (await place("one")) !== before);
await key("?");
await check("? shows the keys", () => page.getByRole("dialog", { name: "Keys" }).isVisible());
await key("Escape");
await check("Esc closes them", async () => (await page.getByRole("dialog").count()) === 0);

// Somebody else saves meanwhile.
const theirs = await call("GET", `/flowcharts/${id}/graph`);
await call("PUT", `/flowcharts/${id}/graph`, { nodes: theirs.nodes, edges: theirs.edges });
await key("Control+s");
const stale = page.getByRole("dialog", { name: "There is a newer version" });
await check("a stale save asks", () => stale.isVisible());
await stale.getByRole("button", { name: "Save mine" }).click();
await check("mine is saved when told to", async () => {
  const stored = await call("GET", `/flowcharts/${id}/graph`);
  return stored.edges.length === 2 && stored.version === theirs.version + 2;
});
await check("nothing is unsaved then", async () => (await page.getByText("Unsaved changes").count()) === 0);

// A small window.
await page.setViewportSize({ width: 900, height: 700 });
await open();
await check(
  "the navigation is away below 1024",
  async () => (await page.getByRole("link", { name: "Runs" }).count()) === 0,
);
await page.getByRole("button", { name: "Open navigation" }).click();
await check("the drawer opens", () => page.getByRole("link", { name: "Runs" }).isVisible());
await key("Escape");
await check(
  "Esc closes the drawer",
  async () =>
    !(await page
      .getByRole("link", { name: "Runs" })
      .isVisible()
      .catch(() => false)),
);
await page.locator('.react-flow__node[data-id="one"]').click();
await check("the inspector is a sheet over the canvas", async () => {
  const sheet = await page.getByRole("complementary", { name: "Inspector" }).boundingBox();
  const canvas = await page.locator(".react-flow").boundingBox();
  return (
    sheet !== null &&
    sheet.y < canvas.y + canvas.height &&
    sheet.x + sheet.width > canvas.x + 10 &&
    canvas.width > 500
  );
});
if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/sheet.png` });
await check("nothing is wider than the window", () =>
  page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth),
);

// Reduced motion.
await page.emulateMedia({ reducedMotion: "reduce" });
await check("nothing is animated with reduced motion", () =>
  page.evaluate(() => document.getAnimations().filter((a) => a.playState === "running").length === 0),
);
await context.request.fetch(`${api}/flowcharts/${id}`, { method: "DELETE" });
if (problems.length > 0) {
  failed++;
  process.stdout.write(`FAIL errors on the page: ${problems.join("; ")}\n`);
}
await browser.close();
process.exitCode = failed === 0 ? 0 : 1;
