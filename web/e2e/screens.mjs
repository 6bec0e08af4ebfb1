// Screenshots of every screen, in both sizes and schemes, of a running Studio with
// the demo data. Usage: node screens.mjs <base url> <folder> [only]
import { chromium } from "playwright-core";

const [base, folder, only] = process.argv.slice(2);
const account = { email: process.env.STUDIO_EMAIL, password: process.env.STUDIO_PASSWORD };
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"],
});
const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, reducedMotion: "reduce" });
const api = `${new URL(base).origin}${process.env.STUDIO_API ?? "/api"}`;
const call = async (method, path, data) => {
  const answer = await context.request.fetch(`${api}${path}`, { method, data });
  if (!answer.ok()) throw new Error(`${method} ${path}: ${answer.status()} ${await answer.text()}`);
  return answer.status() === 204 ? undefined : answer.json();
};

const node = (id, kind, x, y, title, config = {}) => ({ id, kind, title, position: { x, y }, config });
const edge = (id, source, target, mode = "solid") => ({ id, source, target, mode });

async function seed() {
  const models = (await call("GET", "/models")).items;
  const model_id = models[0].id;
  const listed = (await call("GET", "/flowcharts?limit=200")).items;
  const find = (name) => listed.find((f) => f.name === name)?.id;
  const make = async (name, description, graph) =>
    find(name) ?? (await call("POST", "/flowcharts", { name, description, graph })).id;
  const support = await make(
    "Answer a support ticket, ask a second model where the first is not sure, and write the summary for the weekly report of the customer success team",
    "A name and a description that are longer than what a row has room for, because people write them so",
    {
      nodes: [
        node("start", "start", 0, 120, "Start", {
          input_schema: {
            type: "object",
            required: ["text"],
            properties: {
              text: { type: "string", title: "Ticket", description: "What the customer wrote" },
              urgent: { type: "boolean" },
            },
          },
        }),
        node("sort", "task", 300, 120, "Sort the ticket into one of the areas that the team looks after", {
          model_id,
          prompt: "Which area is this about? {{ input.text }}",
        }),
        node("long", "decision", 600, 120, "Long answer?", {
          conditions: [{ edge_id: "e3", expression: "size(upstream.text) > 40" }],
          default_edge_id: "e4",
        }),
        node("deep", "task", 900, 40, "Answer in depth", { model_id, prompt: "Answer: {{ input.text }}" }),
        node("brief", "task", 900, 200, "Answer briefly", { model_id, prompt: "Answer: {{ input.text }}" }),
        node("wrap", "script", 1200, 120, "Wrap up", { script: "echo done", shell: "sh" }),
        node("end", "end", 1500, 120, "End"),
      ],
      edges: [
        edge("e1", "start", "sort"),
        edge("e2", "sort", "long"),
        edge("e3", "long", "deep"),
        edge("e4", "long", "brief"),
        edge("e5", "deep", "wrap"),
        edge("e6", "brief", "wrap"),
        edge("e7", "wrap", "end"),
        edge("e8", "sort", "wrap", "dotted"),
      ],
    },
  );
  const broken = await make("Fetch the numbers", "", {
    nodes: [
      node("start", "start", 0, 0, "Start"),
      node("get", "script", 300, 0, "Read the report", {
        script: "echo reading; echo 'no such report: q3.csv' >&2; exit 3",
        shell: "sh",
        retry: { max_attempts: 2, backoff_seconds: 0.2 },
      }),
      node("end", "end", 600, 0, "End"),
    ],
    edges: [edge("e1", "start", "get"), edge("e2", "get", "end")],
  });
  const faulty = await make("A draft with problems", "", {
    nodes: [
      node("start", "start", 0, 0, "Start"),
      node("task", "task", 300, 0, "Ask", { prompt: "{{ nope }}" }),
      node("http", "http", 300, 140, "Call", { method: "GET", url: "" }),
    ],
    edges: [edge("e1", "start", "task")],
  });
  const files = await make("Export the customers", "", {
    nodes: [
      node("start", "start", 0, 0, "Start"),
      node("export", "script", 300, 0, "Export", {
        script:
          'i=0; while [ $i -lt 4000 ]; do echo "row $i, a customer, a city, a number"; i=$((i+1)); done | tee "$LLMCTL_ARTIFACTS/customers.csv"; echo "# Done" > "$LLMCTL_ARTIFACTS/summary of the export.md"',
        shell: "sh",
      }),
    ],
    edges: [edge("e1", "start", "export")],
  });
  const runs = (await call("GET", "/flowchart-runs")).items;
  if (runs.length < 4) {
    await call("POST", `/flowcharts/${support}/runs`, {
      input: { text: "My invoice shows a wrong address." },
    });
    await call("POST", `/flowcharts/${support}/runs`, { input: { text: "Bridges and rivers. ".repeat(40) } });
    await call("POST", `/flowcharts/${broken}/runs`, {});
  }
  if (!runs.some((r) => r.flowchart_id === files)) await call("POST", `/flowcharts/${files}/runs`, {});
  for (let i = 0; i < 100; i++) {
    const open = (await call("GET", "/flowchart-runs?status=queued,running")).items;
    if (open.length === 0) break;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  const all = (await call("GET", "/flowchart-runs")).items;
  return {
    model: model_id,
    support,
    faulty,
    files: all.find((r) => r.flowchart_id === files).id,
    failed: all.find((r) => r.flowchart_id === broken).id,
    done: all.find((r) => r.flowchart_id === support && r.status === "succeeded").id,
  };
}

/** A thread with two answers of the demo model, one of them in two versions. */
async function talk() {
  const { id } = await call("POST", "/threads", {});
  const ask = async (body, path = "") => {
    const { turn } = await call("POST", `/threads/${id}/turns${path}`, body);
    for (let i = 0; i < 100 && (await call("GET", `/threads/${id}`)).busy; i++)
      await new Promise((resolve) => setTimeout(resolve, 200));
    return turn;
  };
  await ask({ message: "Compare bridges and ferries: a table, *reasons*, and `code` that counts cars." });
  const turn = await ask({ message: "And how long does $n$ cars take?" });
  await ask({}, `/${turn.id}/regenerate`);
  return id;
}

/** Quick nodes: one that ended well, one that was cancelled and one that cannot end well. */
async function askAlone() {
  const start = async (body) => (await call("POST", "/nodes", { model_id: made.model, ...body })).task.id;
  const id = await start({ prompt: "Compare bridges and ferries in two sentences.", system: "Be brief." });
  await start({
    prompt: "x",
    title: "Answer as JSON",
    output_schema: { type: "object", required: ["never"] },
  });
  await call("POST", `/nodes/${await start({ prompt: long("cancelled") })}/cancel`);
  for (let i = 0; i < 100; i++) {
    const { items } = await call("GET", "/nodes?quick=true&status=queued,running,cancelling");
    if (items.length === 0) break;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  return id;
}

const long = (word) => Array.from({ length: 220 }, (_, i) => `${word} ${i}`).join(" ");

const page = await context.newPage();
page.on("pageerror", (error) => process.stderr.write(`page error: ${error.message}\n`));
page.on("console", (m) => m.type() === "error" && process.stderr.write(`console: ${m.text()}\n`));
await page.goto(`${base}/sign-in`);
await page.getByLabel("Email").waitFor();

async function shoot(name, open) {
  if (only && !name.includes(only)) return;
  for (const [width, height] of [
    [1440, 900],
    [1024, 768],
  ]) {
    for (const scheme of ["dark", "light"]) {
      await page.setViewportSize({ width, height });
      await page.emulateMedia({ colorScheme: scheme, reducedMotion: "reduce" });
      await open();
      await page.screenshot({ path: `${folder}/${name}-${width}-${scheme}.png` });
    }
  }
}
const at = (path, ready) => async () => {
  await page.goto(`${base}${path}`);
  await page.waitForLoadState("networkidle").catch(() => {});
  if (ready) await ready();
  await page.waitForTimeout(250);
};

await shoot("sign-in", at("/sign-in"));
await shoot(
  "sign-in-refused",
  at("/sign-in", async () => {
    await page.getByLabel("Email").fill("somebody@example.org");
    await page.getByRole("textbox", { name: "Password" }).fill("not the password");
    await page.keyboard.press("Enter");
    await page.getByRole("alert").waitFor();
  }),
);
await shoot("setup", at("/setup"));
await context.request.fetch(`${api}/auth/login`, { method: "POST", data: account });
if (!only || only === "empty") await shoot("overview-empty", at("/"));
const made = await seed();
await shoot("overview", at("/"));
await shoot("flowcharts", at("/flowcharts"));
await shoot("flowcharts-none", at("/flowcharts?q=nothing%20like%20this"));
await shoot("editor", at(`/flowcharts/${made.support}`));
await shoot(
  "editor-node",
  at(`/flowcharts/${made.support}`, () => page.locator(".react-flow__node").nth(1).click()),
);
await shoot(
  "editor-problems",
  at(`/flowcharts/${made.faulty}`, () => page.locator(".react-flow__node").nth(1).click()),
);
await shoot(
  "editor-run",
  at(`/flowcharts/${made.support}`, async () => {
    await page.getByRole("button", { name: "Run", exact: true }).first().click();
    await page.getByRole("dialog").waitFor();
  }),
);
await shoot("run-done", at(`/runs/${made.done}`));
await shoot("run-files", at(`/runs/${made.files}`));
await shoot("run-failed", at(`/runs/${made.failed}`));
await shoot("run-live", async () => {
  const input = { text: long("running") };
  const { flowchart_run } = await call("POST", `/flowcharts/${made.support}/runs`, { input });
  await page.goto(`${base}/runs/${flowchart_run.id}`);
  await page
    .getByText(/^Running/)
    .first()
    .waitFor({ timeout: 5_000 })
    .catch(() => {});
  await page.waitForTimeout(150);
});
await shoot("runs", at("/runs"));
await shoot("quick-nodes-none", at("/nodes?status=waiting"));
await shoot("quick-node-new", at("/nodes/new"));
const quick = await askAlone();
await shoot("quick-nodes", at("/nodes"));
await shoot("quick-node", at(`/nodes/${quick}`));
await shoot("quick-node-input", at(`/nodes/${quick}?tab=input`));
await shoot("quick-node-attempts", at(`/nodes/${quick}?tab=attempts`));
await shoot("quick-node-live", async () => {
  const { task } = await call("POST", "/nodes", {
    model_id: made.model,
    prompt: `Explain: ${long("alone")}`,
  });
  await page.goto(`${base}/nodes/${task.id}`);
  await page.waitForTimeout(600);
});
await shoot("threads-start", at("/threads"));
const thread = await talk();
await shoot("thread", at(`/threads/${thread}`));
await shoot("thread-about", at(`/threads/${thread}?about=true`));
await shoot("threads-found", at("/threads?q=bridges"));
await shoot("threads-activity", at("/threads/activity"));
await shoot("mcp-servers", at("/mcp-servers"));
await shoot(
  "mcp-server-new",
  at("/mcp-servers?new=true", () => page.getByRole("dialog").waitFor()),
);
await shoot("approvals", at("/approvals"));
await shoot("schedules-empty", at("/schedules"));
const schedule = await call("POST", "/schedules", {
  name: "Morning report",
  flowchart_id: made.support,
  cron: "0 9 * * 1-5",
  time_zone: "Europe/Berlin",
  input: { text: "What came in over night?" },
});
await shoot("schedules", at("/schedules"));
await shoot("schedules-week", at("/schedules?span=week"));
await shoot("schedule", at(`/schedules/${schedule.id}`));
await shoot(
  "schedule-new",
  at("/schedules?new=true", () => page.getByRole("dialog").waitFor()),
);
await shoot("queues", at("/queues"));
await shoot("downloads", at("/downloads"));
await shoot("download-new", at("/downloads/new"));
await shoot("models", at("/models"));
await shoot("realtime", at("/realtime"));
await shoot("settings", at("/settings"));
await shoot(
  "palette",
  at("/runs", async () => {
    await page.keyboard.press("Control+k");
    await page.getByRole("dialog").waitFor();
  }),
);
await shoot("missing", at("/nothing-here"));
await shoot("run-missing", at("/runs/999999"));
await browser.close();
