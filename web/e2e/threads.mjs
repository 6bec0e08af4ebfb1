// A thread in a real browser against a running Studio whose model counts: send,
// stream, reload in the middle, lose the network, stop, edit, switch versions; the
// text on the page is the text that is stored.
// Usage: node threads.mjs <setup address> <address of a chat-completions server>
import { chromium } from "playwright-core";

const [setup, model, shots] = process.argv.slice(2);
const account = { email: process.env.STUDIO_EMAIL, password: process.env.STUDIO_PASSWORD };
const { origin, searchParams } = new URL(setup);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"],
});
const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, reducedMotion: "reduce" });
const page = await context.newPage();
const wrong = [];
page.on("pageerror", (error) => wrong.push(error.message));
const call = async (method, path, data) => {
  const answer = await context.request.fetch(`${origin}/api${path}`, { method, data });
  if (!answer.ok()) throw new Error(`${method} ${path}: ${answer.status()} ${await answer.text()}`);
  return answer.status() === 204 ? undefined : answer.json();
};
const ok = (what) => process.stderr.write(`ok   ${what}\n`);
const must = (holds, what) => {
  if (!holds) throw new Error(what);
  ok(what);
};
const answers = () => page.locator("article[data-role=assistant]");
const said = async () => (await answers().last().innerText()).replace(/\s+/g, " ");
const numbers = (text) => (text.match(/\b\d+(?= 👋)/g) ?? []).map(Number);
const writing = () => page.getByLabel("Message", { exact: true });

async function send(text) {
  await writing().fill(text);
  await writing().press("Enter");
  await page.locator("article[data-role=assistant][data-status=pending]").last().waitFor();
}

/** Waits until the answer on the page has come past a number, without a hole. */
async function counted(past) {
  await page.waitForFunction(
    (n) => {
      const last = [...document.querySelectorAll("article[data-role=assistant]")].at(-1);
      return last?.textContent?.includes(`${n} 👋`);
    },
    past,
    { timeout: 30_000 },
  );
  const seen = numbers(await said());
  const hole = seen.findIndex((n, i) => n !== i + 1);
  must(hole < 0, `up to ${seen.length} without a hole`);
}

/** What is stored of the last answer, and what the page shows of it. */
async function equals(thread, status) {
  await page.waitForFunction(
    (wanted) => {
      const last = [...document.querySelectorAll("article[data-role=assistant]")].at(-1);
      return last?.getAttribute("data-status") === wanted;
    },
    status,
    { timeout: 60_000 },
  );
  const { messages } = await call("GET", `/threads/${thread}`);
  const stored = messages.at(-1);
  const shown = (await answers().last().locator("p").first().textContent()) ?? "";
  must(stored.status === status, `it is stored as ${status}`);
  must(
    shown.trim() === stored.content.trim(),
    `the page shows the ${stored.content.length} letters that are stored`,
  );
}

async function streams() {
  await page.goto(`${origin}/web/threads`);
  await send("Count");
  await page.waitForURL(/threads\/\d+/);
  const thread = Number(new URL(page.url()).pathname.split("/").at(-1));
  await counted(5);
  await page.reload();
  await counted(20);
  await context.setOffline(true);
  await page.waitForTimeout(700);
  await context.setOffline(false);
  await counted(60);
  await equals(thread, "complete");
  return thread;
}

async function stops(thread) {
  await send("Count again");
  await counted(5);
  const from = Date.now();
  await page.keyboard.press("Escape");
  await equals(thread, "partial");
  must(Date.now() - from < 5_000, "it stops at once");
  await page.getByText(/^Stopped\./).waitFor();
}

async function versions(thread) {
  await page.locator("article[data-role=user]").last().hover();
  await page.getByRole("button", { name: "Edit and send again" }).last().click();
  await page.getByLabel("Edit the message").fill("Say it briefly");
  await page.getByLabel("Edit the message").press("Enter");
  await page.getByText("briefly: done").waitFor();
  await page.getByText("2/2").first().waitFor();
  await page.getByRole("button", { name: "Earlier version" }).first().click();
  await page.getByText(/^Stopped\./).waitFor();
  await page.getByText("1/2").first().waitFor();
  const { messages } = await call("GET", `/threads/${thread}`);
  must(messages.at(-2).content === "Count again", "the other version is shown, here and for everybody");
}

async function queues() {
  const held = page.getByRole("list", { name: "Messages that wait for their answers" });
  await send("Count");
  await counted(2);
  await writing().fill("Say it briefly");
  await writing().press("Enter");
  await held.getByText("Say it briefly").waitFor();
  ok("a message waits while another one is answered");
  await page.keyboard.press("Escape");
  await page.getByText("briefly: done").waitFor();
  await held.waitFor({ state: "detached" });
  ok("and has its turn");
}

try {
  await call("POST", "/auth/setup", { token: searchParams.get("token"), ...account });
  const made = { name: "Counter", kind: "openai", base_url: `${model}/v1`, api_key: "x" };
  const provider = await call("POST", "/providers", made);
  await call("POST", "/models", { name: "Counter", provider_id: provider.id, model: "counter" });
  const thread = await streams();
  await stops(thread);
  await versions(thread);
  await queues();
  if (wrong.length > 0) throw new Error(`errors on the page: ${wrong.join("; ")}`);
  process.stdout.write("ok\n");
} catch (error) {
  process.stderr.write(`${error.stack}\n${wrong.join("\n")}\n${page.url()}\n`);
  if (shots) await page.screenshot({ path: `${shots}/failed.png` }).catch(() => {});
  process.exitCode = 1;
} finally {
  await browser.close();
}
