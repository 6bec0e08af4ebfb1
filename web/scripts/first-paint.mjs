// Fails when the first paint of a signed-in overview grows above its budget: the
// scripts and styles of the entry and the overview's routes, with everything they
// import statically, compressed. Read from the manifest of the last build.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const budget = 200_000;
const routes = ["src/routes/_app.tsx", "src/routes/_app/index.tsx"];
const dist = new URL("../dist/", import.meta.url);

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}

let manifest;
try {
  manifest = JSON.parse(readFileSync(new URL(".vite/manifest.json", dist), "utf8"));
} catch {
  fail("There is no built page to measure. Run npm run build first.");
}

const keys = Object.keys(manifest);
const entry = keys.find((key) => manifest[key].isEntry);
const roots = [entry];
for (const route of routes) {
  // A route's component is a chunk of its own, named after the file.
  const key = keys.find(
    (k) => k === `${route}?tsr-split=component` || k.startsWith(`${route}?tsr-split=component`),
  );
  if (!key)
    fail(`The manifest has no chunk for ${route}. Was it renamed? Then change scripts/first-paint.mjs.`);
  roots.push(key);
}

const chunks = new Set();
const files = new Set();
function follow(key) {
  if (!key || chunks.has(key)) return;
  chunks.add(key);
  const chunk = manifest[key];
  files.add(chunk.file);
  for (const css of chunk.css ?? []) files.add(css);
  for (const imported of chunk.imports ?? []) follow(imported);
}
for (const root of roots) follow(root);

const sizes = [...files]
  .map((file) => ({ file, bytes: gzipSync(readFileSync(new URL(file, dist)), { level: 9 }).length }))
  .sort((a, b) => b.bytes - a.bytes);
const total = sizes.reduce((sum, { bytes }) => sum + bytes, 0);
const kB = (bytes) => `${(bytes / 1_000).toFixed(1)} kB`;
if (total > budget || process.argv.includes("--list")) {
  for (const { file, bytes } of sizes) process.stdout.write(`${kB(bytes).padStart(9)}  ${file}\n`);
}
process.stdout.write(`first paint: ${kB(total)} of ${kB(budget)} gzip in ${sizes.length} files\n`);
if (total > budget) fail("The first paint is above its budget: load later what it does not need.");
