// The official TypeScript client against an MCP server of the Studio. Its client holds
// every answer against the tool's output schema. Prints one JSON object: what it saw.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const [url, key, published] = process.argv.slice(2);
const seen = { progress: [] };

async function connect(headers) {
	const client = new Client({ name: "mcp-client-test", version: "1" });
	await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }));
	return client;
}

const stranger = await connect({});
await stranger.ping();
seen.strangerServer = stranger.getServerVersion()?.name;
seen.stranger = await stranger.listTools().then(
	() => "listed",
	(e) => String(e.code ?? e.message),
);
await stranger.close();

const client = await connect({ Authorization: `Bearer ${key}` });
seen.tools = [];
for (let cursor; ; ) {
	const page = await client.listTools(cursor ? { cursor } : undefined);
	seen.tools.push(...page.tools.map((t) => t.name));
	cursor = page.nextCursor;
	if (!cursor) break;
}

async function call(name, args, options) {
	const result = await client.callTool({ name, arguments: args }, undefined, options);
	if (result.isError) throw new Error(`${name}: ${result.content[0].text}`);
	return result.structuredContent;
}

const node = (id, kind, config = {}) => ({ id, kind, title: id, position: { x: 0, y: 0 }, config });
const graph = {
	nodes: [
		node("start", "start", {
			input_schema: { type: "object", required: ["seconds"], properties: { seconds: { type: "integer" } } },
		}),
		node("work", "script", { script: 'sleep {{ input.seconds }}; printf \'{"done":true}\'', shell: "sh" }),
		node("end", "end"),
	],
	edges: [
		{ id: "e1", source: "start", target: "work", mode: "solid" },
		{ id: "e2", source: "work", target: "end", mode: "solid" },
	],
};
const made = await call("llmctl_create_flowchart", { name: `Sleep ${process.pid}`, graph, idempotency_key: `k-${process.pid}` });
const again = await call("llmctl_create_flowchart", { name: `Sleep ${process.pid}`, graph, idempotency_key: `k-${process.pid}` });
seen.sameFlowchart = made.id === again.id;
seen.valid = (await call("llmctl_get_flowchart_graph", { id: made.id })).valid;

const run = await call(
	"llmctl_run_flowchart",
	{ id: made.id, input: { seconds: 2 }, wait_seconds: 60 },
	{ onprogress: (p) => seen.progress.push(p.message), timeout: 90_000, resetTimeoutOnProgress: true },
);
seen.run = { status: run.status, finished: run.finished, output: run.output };
const detail = await call("llmctl_get_flowchart_run", { id: run.run_id });
seen.nodes = detail.node_runs.map((n) => `${n.flowchart_node_id} ${n.status}`);
const work = detail.node_runs.find((n) => n.flowchart_node_id === "work");
seen.nodeOutput = (await call("llmctl_get_node_run", { id: work.id })).output;
const resource = await client.readResource({ uri: `llmctl://flowchart-runs/${run.run_id}/output` });
seen.resource = JSON.parse(resource.contents[0].text);
seen.templates = (await client.listResourceTemplates()).resourceTemplates.length;

const started = await call("llmctl_run_flowchart", { id: made.id, input: { seconds: 50 } });
await call("llmctl_cancel_flowchart_run", { id: started.run_id });
seen.cancelled = (await call("llmctl_wait_flowchart_run", { id: started.run_id, wait_seconds: 60 })).status;

const wrong = await client.callTool({ name: "llmctl_run_flowchart", arguments: { id: made.id, input: { seconds: "two" } } });
seen.wrong = { isError: wrong.isError, text: wrong.content[0].text };
const thread = await call("llmctl_create_thread", { title: `Harbour ${process.pid}` });
const threads = await call("llmctl_list_threads", { title: `Harbour ${process.pid}` });
const read = await call("llmctl_get_thread", { id: thread.id });
const found = await call("llmctl_search_threads", { query: "nothing of the kind" });
seen.thread = { listed: threads.items.map((t) => t.id === thread.id), messages: read.messages.length, turns: read.turns.length, found: found.count };
const unheard = await client.callTool({ name: "llmctl_get_turn", arguments: { thread_id: thread.id, turn_id: 4711 } });
seen.noTurn = unheard.content[0].text;
seen.published = await call(published, { text: "hello" });
await client.close();
process.stdout.write(JSON.stringify(seen));
