// An MCP server made with the official SDK: node server.mjs <http|sse|stdio> [port].
// It tells what happens as JSON lines: on standard output, or on standard error when
// that belongs to the protocol.
import { randomUUID } from "node:crypto";
import { appendFileSync } from "node:fs";
import { createServer } from "node:http";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { SSEServerTransport } from "@modelcontextprotocol/sdk/server/sse.js";
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { z } from "zod";

const [mode, port] = process.argv.slice(2);
const out = mode === "stdio" ? process.stderr : process.stdout;
const tell = (what) => out.write(`${JSON.stringify(what)}\n`);
const text = (t) => ({ content: [{ type: "text", text: t }] });

function make() {
  const server = new McpServer({ name: "scripted", version: "7.1.0" }, { instructions: "Ask for echo." });
  const tool = (name, description, inputSchema, annotations, run) =>
    server.registerTool(name, { description, inputSchema, annotations }, run);
  tool("echo", "Says it again", { text: z.string() }, { readOnlyHint: true }, ({ text: t }) => text(`echo: ${t}`));
  tool("add", "Adds", { a: z.number(), b: z.number() }, { readOnlyHint: true }, ({ a, b }) => text(String(a + b)));
  tool("fail", "Fails", {}, {}, () => ({ ...text("it went wrong"), isError: true }));
  tool("big", "Gives much", { bytes: z.number() }, { readOnlyHint: true }, ({ bytes }) => text("x".repeat(bytes)));
  tool("environment", "What the program sees", {}, { readOnlyHint: true }, () => text(JSON.stringify({ env: process.env, cwd: process.cwd(), uid: process.getuid() })));
  tool("record", "Writes a line to a file", { path: z.string(), line: z.string() }, {}, ({ path, line }) => {
    appendFileSync(path, `${line}\n`);
    return text("recorded");
  });
  tool("slow", "Takes until it is cancelled", { path: z.string().optional() }, {}, ({ path }, { signal, sendNotification, _meta }) => new Promise((resolve) => {
    tell({ at: "slow began" });
    if (_meta?.progressToken !== undefined)
      sendNotification({ method: "notifications/progress", params: { progressToken: _meta.progressToken, progress: 1, total: 4, message: "a quarter" } });
    signal.addEventListener("abort", () => {
      tell({ at: "slow cancelled" });
      if (path) appendFileSync(path, "cancelled\n");
      resolve(text("cancelled"));
    });
  }));
  tool("grow", "Offers one more tool from now on", {}, {}, () => {
    tool("grown", "Was not there before", {}, {}, () => text("grown up"));
    return text("growing");
  });
  tool("die", "Ends the process in the middle of the call", { path: z.string().optional() }, {}, ({ path }) => {
    if (path) appendFileSync(path, "died\n");
    process.exit(3);
  });
  return server;
}

const sessions = new Map();
const body = async (req) => {
  const parts = [];
  for await (const p of req) parts.push(p);
  return parts.length ? JSON.parse(Buffer.concat(parts).toString()) : undefined;
};

async function streamable(req, res) {
  const id = req.headers["mcp-session-id"];
  if (id && !sessions.has(id)) {
    res.writeHead(404).end();
    return;
  }
  let transport = sessions.get(id);
  if (!transport) {
    transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: () => randomUUID(),
      onsessioninitialized: (sid) => sessions.set(sid, transport),
      onsessionclosed: (sid) => sessions.delete(sid),
    });
    await make().connect(transport);
  }
  await transport.handleRequest(req, res, req.method === "POST" ? await body(req) : undefined);
}

async function events(req, res) {
  const url = new URL(req.url, "http://x");
  if (req.method === "GET") {
    const transport = new SSEServerTransport("/messages", res);
    sessions.set(transport.sessionId, transport);
    await make().connect(transport);
    return;
  }
  await sessions.get(url.searchParams.get("sessionId")).handlePostMessage(req, res, await body(req));
}

if (mode === "stdio") {
  await make().connect(new StdioServerTransport());
  if (process.env.CHILD) {
    const { spawn } = await import("node:child_process");
    tell({ at: "child", pid: spawn("sleep", ["600"], { stdio: "ignore" }).pid });
  }
  tell({ at: "ready" });
} else {
  const token = process.env.TOKEN;
  const server = createServer(async (req, res) => {
    if (token && req.headers.authorization !== `Bearer ${token}`) {
      res.writeHead(401, { "WWW-Authenticate": 'Bearer error="invalid_token"' }).end();
      return;
    }
    await (mode === "sse" ? events : streamable)(req, res);
  });
  server.listen(Number(port ?? 0), "127.0.0.1", () => tell({ at: "listening", port: server.address().port }));
}
