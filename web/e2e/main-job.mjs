// The main job in a real browser: set up, run a sample, see it live and after a
// reload, then the same by drawing. Usage: node main-job.mjs <setup url> <folder for screenshots>
import { chromium } from "playwright-core";

const [setup, shots] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
  ],
});
const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
const problems = [];
page.on("pageerror", (error) => problems.push(error.message));

try {
  await page.goto(setup);
  await page.getByLabel(/e-?mail/i).fill("admin@example.org");
  for (const field of await page.getByLabel(/password/i).all()) {
    if (await field.evaluate((e) => e.tagName === "INPUT")) await field.fill("a long password");
  }
  await page.keyboard.press("Enter");
  await page.getByText("First steps").waitFor();

  await page.getByRole("link", { name: "Flowcharts" }).first().click();
  await page.getByRole("link", { name: "Sample: summarise a text" }).click();
  await page.getByText("Ready to run").waitFor();
  await page.screenshot({ path: `${shots}/editor.png` });
  await page.getByRole("button", { name: "Run", exact: true }).first().click();
  await page.getByRole("dialog").getByRole("textbox").first().fill("A text about bridges and rivers.");
  await page
    .getByRole("dialog")
    .getByRole("button", { name: /^(start|run)/i })
    .first()
    .click();
  await page.waitForURL(/\/runs\/\d+/);
  await page.getByText("Finished after 3 nodes").waitFor();
  await page.getByText("offline demo model").first().waitFor();
  await page.screenshot({ path: `${shots}/run.png` });

  await page.reload();
  await page.getByText("Finished after 3 nodes").waitFor();
  await page.getByRole("link", { name: "Runs" }).first().click();
  await page.getByText("Sample: summarise a text").first().waitFor();
  if (problems.length > 0) throw new Error(`errors on the page: ${problems.join("; ")}`);
  process.stdout.write("ok\n");
} catch (error) {
  await page.screenshot({ path: `${shots}/failed.png` });
  process.stderr.write(`${page.url()}\n${error}\n`);
  process.exitCode = 1;
} finally {
  await browser.close();
}
