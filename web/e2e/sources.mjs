// Sources in a real browser against a running Studio that may read a folder of documents: add the folder, index it, see
// the funnel end, plan and apply what changed, look at the chunks, ask in the playground, find that in the record of
// searches, and follow an answer's reference to its chunk.
// Usage: node sources.mjs <setup address> <allowed folder> [folder for screenshots]
// MODEL is the address of a chat-completions server whose answers refer to [1]; without it no thread is asked.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";

const [setup, docs, shots = process.env.SHOTS] = process.argv.slice(2);
const account = { email: process.env.STUDIO_EMAIL, password: process.env.STUDIO_PASSWORD };
const { origin, searchParams } = new URL(setup);
const web = process.env.STUDIO_WEB ?? `${origin}/web`;
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"],
});
const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, reducedMotion: "reduce" });
const page = await context.newPage();
page.setDefaultTimeout(60_000);
const wrong = [];
page.on("pageerror", (error) => wrong.push(error.message));
const call = async (method, path, data) => {
  const answer = await context.request.fetch(`${new URL(web).origin}/api${path}`, { method, data });
  if (!answer.ok()) throw new Error(`${method} ${path}: ${answer.status()} ${await answer.text()}`);
  return answer.status() === 204 ? undefined : answer.json();
};
const ok = (what) => process.stderr.write(`ok   ${what}\n`);
const must = (holds, what) => {
  if (!holds) throw new Error(what);
  ok(what);
};
const button = (name) => page.getByRole("button", { name, exact: true });

async function adds() {
  await page.goto(`${web}/sources`);
  await page.getByText("No sources yet").waitFor();
  await page.getByRole("link", { name: /Local folder/ }).click();
  await page.getByLabel("Name").fill("Handbook");
  await button(docs).click();
  await button("Check").click();
  await page.getByRole("status").filter({ hasText: /./ }).first().waitFor();
  await button("Add source").click();
  await page.waitForURL(/sources\/\d+$/);
  await page.getByText("Not indexed yet", { exact: true }).waitFor();
  ok("a source is added by browsing to its folder");
  return Number(new URL(page.url()).pathname.split("/").at(-1));
}

const funnel = () => page.getByRole("list", { name: "From found to stored" });
/** Files that the last step of the funnel counts. */
const stored = async () => {
  const text = await funnel().getByRole("listitem").last().innerText();
  return Number(/([\d,]+) files?/.exec(text)?.[1]?.replaceAll(",", "") ?? -1);
};

async function indexes(id) {
  await button("Index now").click();
  // Without a reload: the page hears of the end by itself.
  await page.getByRole("button", { name: "Other ways to index" }).waitFor();
  await page.waitForFunction(() => /files? in [\d,]+ chunks?/.test(document.body.innerText));
  const source = await call("GET", `/rag/sources/${id}`);
  must(source.status === "indexed" && source.index.files > 0, `${source.index.files} files are indexed`);
  must((await stored()) === source.index.files, "the funnel ends with as many stored files");
  const cells = page.getByRole("listbox", { name: "Files of this run" }).getByRole("option");
  must((await cells.count()) > 0, "the grid shows them");
}

async function plans() {
  writeFileSync(join(docs, "zebra.md"), "# Zebras\n\nA zebra crossing is striped so that drivers see it.\n");
  await page.getByRole("button", { name: "Other ways to index" }).click();
  await page.getByRole("menuitem", { name: /Plan first/ }).click();
  await page.getByRole("heading", { name: "The plan" }).waitFor();
  await page.getByRole("cell", { name: "zebra.md" }).waitFor();
  ok("a plan names the new file before anything is done");
  await button("Apply plan").click();
  await page.getByText(/^1 added\./).waitFor();
  ok("and is applied");
}

async function browses() {
  await page.getByRole("link", { name: "Files", exact: true }).click();
  await page.getByRole("button", { name: /zebra\.md/ }).click();
  await page.getByText("A zebra crossing is striped").waitFor();
  ok("the file's chunks can be read");
}

async function asks() {
  await page.goto(`${web}/playground`);
  await page.getByText("See what a question finds").waitFor();
  await page.keyboard.press("/");
  await page.keyboard.type("striped zebra crossing");
  await page.keyboard.press("Enter");
  await page.waitForURL(/q=striped/);
  const first = page.getByRole("region", { name: "By words" }).getByRole("button").first();
  await first.waitFor();
  must(/zebra\.md/.test(await first.innerText()), "the playground finds the file first");
  must((await page.locator("mark").count()) > 0, "and marks what was looked for");
  await page.keyboard.press("j");
  await page.getByRole("complementary", { name: "Passage" }).getByRole("link").click();
  await page.waitForURL(/\/files\?.*chunk=/);
  ok("a passage leads to its chunk");
}

/** What was asked is on record, with what was found. */
async function records() {
  await page.goto(`${web}/sources/searches`);
  await page
    .getByRole("row", { name: /striped zebra crossing/ })
    .getByRole("link")
    .click();
  await page.getByText("What was found").waitFor();
  await page.getByText(account.email).waitFor();
  await page.getByRole("link", { name: "zebra.md" }).click();
  await page.waitForURL(/\/files\?.*key=/);
  await page.locator("article[data-wanted]").getByText("A zebra crossing is striped").waitFor();
  ok("the search is on record, and leads to the chunk that it found");
}

/** A number in an answer opens its passage by keyboard, and leads to the chunk. */
async function follows(source) {
  const provider = await call("POST", "/providers", {
    name: "P",
    kind: "openai",
    base_url: process.env.MODEL,
  });
  const model = await call("POST", "/models", {
    name: "M",
    provider_id: provider.id,
    model: "scripted-model",
  });
  const thread = await call("POST", "/threads", { model_id: model.id, source_ids: [source] });
  await page.goto(`${web}/threads/${thread.id}`);
  await page.getByLabel("Message", { exact: true }).fill("striped zebra crossing");
  await page.getByLabel("Message", { exact: true }).press("Enter");
  await page.locator("article[data-role=assistant][data-status=complete]").waitFor();
  const mark = page
    .locator("article[data-role=assistant] p")
    .getByRole("button", { name: "Passage 1: zebra.md" });
  await mark.press("Enter");
  const card = page.getByRole("dialog", { name: "Passage 1: zebra.md" });
  await card.getByText("A zebra crossing is striped").waitFor();
  await page.keyboard.press("Escape");
  await card.waitFor({ state: "detached" });
  must(await mark.evaluate((m) => m === document.activeElement), "Escape closes it and gives the focus back");
  await mark.press("Enter");
  await card.getByRole("link", { name: "Open in the index" }).press("Enter");
  await page.locator("article[data-wanted]").getByText("A zebra crossing is striped").waitFor();
  ok("and the reference leads to its chunk");
}

/** Undo brings a deleted source back. */
async function undoes(id) {
  await page.goto(`${web}/sources`);
  await page.getByRole("row", { name: /Handbook/ }).hover();
  await page.getByRole("button", { name: "Delete Handbook" }).click();
  await page.getByText("No sources yet").waitFor();
  await button("Undo").click();
  await page.getByRole("link", { name: "Handbook", exact: true }).waitFor();
  must((await call("GET", `/rag/sources/${id}`)).index !== null, "a deletion is taken back with its index");
}

try {
  if (searchParams.get("token"))
    await call("POST", "/auth/setup", { token: searchParams.get("token"), ...account });
  else await call("POST", "/auth/login", account);
  const id = await adds();
  await indexes(id);
  await plans();
  await browses();
  if (!process.env.WITHOUT_QUERY) {
    await asks();
    await records();
  }
  if (process.env.MODEL) await follows(id);
  await undoes(id);
  if (wrong.length > 0) throw new Error(`errors on the page: ${wrong.join("; ")}`);
  process.stdout.write("ok\n");
} catch (error) {
  process.stderr.write(`${error.stack}\n${wrong.join("\n")}\n${page.url()}\n`);
  if (shots) await page.screenshot({ path: `${shots}/failed.png` }).catch(() => {});
  process.exitCode = 1;
} finally {
  await browser.close();
}
