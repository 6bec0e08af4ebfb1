// How smoothly the editor moves with 500 nodes, against an almost empty one: pans,
// zooms and drags with the mouse while requestAnimationFrame measures. Prints
// ratios; it is a measurement, not a test. Usage: node canvas.mjs <base url>
import { chromium } from "playwright-core";

const [base] = process.argv.slice(2);
const account = { email: process.env.STUDIO_EMAIL, password: process.env.STUDIO_PASSWORD };
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"],
});
const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
const api = `${new URL(base).origin}/api`;
const post = async (path, data) => {
  const answer = await context.request.fetch(`${api}${path}`, { method: "POST", data });
  if (!answer.ok()) throw new Error(`POST ${path}: ${answer.status()} ${await answer.text()}`);
  return answer.json();
};
await post("/auth/login", account);

function graphOf(n) {
  const columns = 25;
  const nodes = [{ id: "start", kind: "start", title: "Start", position: { x: 0, y: 0 }, config: {} }];
  const edges = [];
  for (let i = 1; i < n; i++) {
    const kind = i % 7 === 0 ? "script" : "task";
    const config = kind === "script" ? { script: "echo", shell: "sh" } : { prompt: `Step ${i}` };
    const position = { x: (i % columns) * 300, y: Math.floor(i / columns) * 110 };
    nodes.push({ id: `n${i}`, kind, title: `Step ${i}`, position, config });
    edges.push({
      id: `e${i}`,
      source: i % columns === 1 || i < 2 ? "start" : `n${i - 1}`,
      target: `n${i}`,
      mode: "solid",
    });
    if (i > columns && i % 3 === 0)
      edges.push({ id: `d${i}`, source: `n${i - columns}`, target: `n${i}`, mode: "dotted" });
  }
  return { nodes, edges };
}

const percentile = (sorted, p) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))];

async function measured(page, act) {
  await page.evaluate(() => {
    window.frames_ = [];
    let last = performance.now();
    const tick = (now) => {
      window.frames_.push(now - last);
      last = now;
      window.handle_ = requestAnimationFrame(tick);
    };
    window.handle_ = requestAnimationFrame(tick);
  });
  await act();
  const frames = await page.evaluate(() => {
    cancelAnimationFrame(window.handle_);
    return window.frames_.slice(2);
  });
  const sorted = frames.sort((a, b) => a - b);
  return {
    frames: sorted.length,
    median: percentile(sorted, 0.5),
    p95: percentile(sorted, 0.95),
    worst: sorted.at(-1),
  };
}

async function session(name, n) {
  const made = await post("/flowcharts", { name: `Canvas of ${n} nodes`, graph: graphOf(n) });
  const page = await context.newPage();
  await page.goto(`${base}/flowcharts/${made.id}`);
  await page.locator(".react-flow__node").first().waitFor();
  await page.waitForTimeout(1_500);
  const box = await page.locator(".react-flow__pane").boundingBox();
  const at = { x: box.x + box.width / 2, y: box.y + box.height / 2 };
  const wander = async (steps, size) => {
    for (let i = 0; i < steps; i++)
      await page.mouse.move(at.x + Math.sin(i / 7) * size, at.y + Math.cos(i / 9) * size);
  };
  // On the pane, not on a node or an edge.
  const free = () =>
    page.evaluate(({ x, y }) => {
      for (let d = 0; d < 260; d += 3)
        for (const [dx, dy] of [
          [d, 0],
          [0, d],
          [d, d],
        ])
          if (document.elementFromPoint(x + dx, y + dy)?.classList.contains("react-flow__pane"))
            return { x: x + dx, y: y + dy };
      throw new Error("no free place to take the canvas at");
    }, at);
  const pan = async () => {
    await page.mouse.down();
    await wander(120, 180);
    await page.mouse.up();
  };
  const zoom = async () => {
    await page.mouse.move(at.x, at.y);
    for (let i = 0; i < 60; i++) await page.mouse.wheel(0, i % 30 < 15 ? -120 : 120);
  };
  const nearest = () =>
    page.evaluate(({ x, y }) => {
      const rects = [...document.querySelectorAll(".react-flow__node")].map((e) => e.getBoundingClientRect());
      return rects
        .map((r) => ({ x: r.x + r.width / 2, y: r.y + r.height / 2 }))
        .sort((a, b) => Math.hypot(a.x - x, a.y - y) - Math.hypot(b.x - x, b.y - y))[0];
    }, at);
  const drag = async () => {
    await page.mouse.down();
    await wander(120, 120);
    await page.mouse.up();
  };
  const from = async ({ x, y }, act) => {
    await page.mouse.move(x, y);
    return measured(page, act);
  };
  const result = { fitted: {}, close: {} };
  result.fitted.pan = await from(await free(), pan);
  result.fitted.drag = await from(await nearest(), drag);
  result.zoom = await measured(page, zoom);
  // At the size that one works in; the small one is shown so at once.
  await page.keyboard.press("f");
  await page.waitForTimeout(500);
  const size = () =>
    page.evaluate(() => document.querySelector(".react-flow__node").getBoundingClientRect().width);
  await page.mouse.move(at.x, at.y);
  for (let i = 0; i < 30 && (await size()) < 190; i++) {
    await page.mouse.wheel(0, -120);
    await page.waitForTimeout(50);
  }
  await page.waitForTimeout(300);
  result.close.pan = await from(await free(), pan);
  result.close.drag = await from(await nearest(), drag);
  await page.close();
  await context.request.fetch(`${api}/flowcharts/${made.id}`, { method: "DELETE" });
  const flat = {
    "pan, all of it": result.fitted.pan,
    "drag, all of it": result.fitted.drag,
    zoom: result.zoom,
    "pan, close": result.close.pan,
    "drag, close": result.close.drag,
  };
  return { name, flat };
}

const small = await session("small", 3);
const large = await session("large", 500);
const ms = (v) => v.toFixed(1).padStart(7);
process.stdout.write(
  "                    3 nodes: median     p95   worst | 500 nodes: median    p95   worst |  ratio of p95\n",
);
for (const key of Object.keys(small.flat)) {
  const a = small.flat[key];
  const b = large.flat[key];
  process.stdout.write(
    `${key.padEnd(27)} ${ms(a.median)} ${ms(a.p95)} ${ms(a.worst)} |          ${ms(b.median)} ${ms(b.p95)} ${ms(b.worst)} | ${(b.p95 / a.p95).toFixed(2)}\n`,
  );
}
await browser.close();
