// The reference client of MCP Tasks, @modelcontextprotocol/ext-tasks, against the server that the environment names:
// MCP_PACK_URL with MCP_PACK_HEADERS (one in a line), or MCP_PACK_COMMAND. With MCP_PACK_UPSTREAM that is a gateway with
// the pack's own upstream behind it, and asked for nothing but the tools that must come through. Prints one finding in each
// line, as JSON.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { createTaskSessionFromClient, withTasks } from "@modelcontextprotocol/ext-tasks/client";

const url = process.env.MCP_PACK_URL;
const command = process.env.MCP_PACK_COMMAND;
const headers = Object.fromEntries(
  (process.env.MCP_PACK_HEADERS ?? "").split("\n").filter(Boolean).map((line) => {
    const at = line.indexOf(":");
    return [line.slice(0, at).trim(), line.slice(at + 1).trim()];
  }),
);
const name = { name: "mcp-pack-reference", version: "1" };
const version = "2026-07-28";

/** A connection that sends the client's requests as they are: one POST each, or lines to a process. */
function wire() {
  if (!command) return { send: post, close() {} };
  const child = spawn("sh", ["-c", `exec ${command}`], { stdio: ["pipe", "pipe", "ignore"] });
  const waiting = new Map();
  createInterface({ input: child.stdout }).on("line", (line) => {
    const message = JSON.parse(line);
    waiting.get(message.id)?.(message);
    waiting.delete(message.id);
  });
  return {
    send: (message) =>
      new Promise((resolve) => {
        waiting.set(message.id, resolve);
        child.stdin.write(`${JSON.stringify(message)}\n`);
      }),
    close: () => child.stdin.end(),
  };
}

async function post(message) {
  const subject = message.params.taskId ?? message.params.name;
  const response = await fetch(url, {
    method: "POST",
    headers: {
      ...headers,
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
      "mcp-protocol-version": version,
      "mcp-method": message.method,
      ...(subject === undefined ? {} : { "mcp-name": subject }),
    },
    body: JSON.stringify(message),
  });
  const text = await response.text();
  if (!response.headers.get("content-type").startsWith("text/event-stream")) return JSON.parse(text);
  const events = text.split(/\r?\n\r?\n/).map((event) => event.match(/^data: ?(.+)$/m)?.[1]);
  return events.filter(Boolean).map((data) => JSON.parse(data)).find((found) => found.id === message.id);
}

/** A session of the extension. The client's own codecs see every reply of the server as it came. */
async function modern(onInputRequest) {
  const { send, close } = wire();
  let next = 0;
  const dispatch = async (request) => {
    const meta = {
      ...request.params?._meta,
      "io.modelcontextprotocol/protocolVersion": version,
      "io.modelcontextprotocol/clientInfo": name,
      "io.modelcontextprotocol/clientCapabilities": {
        elicitation: {},
        extensions: { "io.modelcontextprotocol/tasks": {} },
      },
    };
    const { method, params } = request;
    const reply = await send({ jsonrpc: "2.0", id: ++next, method, params: { ...params, _meta: meta } });
    return reply.error === undefined
      ? { kind: "result", result: reply.result }
      : { kind: "error", error: { jsonrpc: "2.0", id: reply.id, error: reply.error, ...reply.error } };
  };
  const port = {
    endpointId: "mcp-pack",
    taskCapabilities: { generation: "v2", capabilities: {} },
    dispatch,
    onServerRequest: () => () => {},
    onNotification: () => () => {},
    onInvalidated: () => () => {},
    invalidated: false,
  };
  const session = withTasks(port, { onInputRequest });
  return { session, close: async () => (await session.close(), close()) };
}

/** The official client, connected. */
async function connected(options) {
  const transport = command
    ? new StdioClientTransport({ command: "sh", args: ["-c", `exec ${command}`], env: process.env, stderr: "ignore" })
    : new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } });
  const client = new Client(name, options);
  await client.connect(transport);
  return client;
}

/** The official client of 2026-07-28, which takes no tasks. */
async function plain() {
  const client = await connected({ capabilities: {}, versionNegotiation: { mode: { pin: version } } });
  return { session: client, close: () => client.close() };
}

/** A session of 2025-11-25, through the official client, if the server has such tasks. */
async function legacy(onInputRequest) {
  const client = await connected({ capabilities: { elicitation: {} } });
  if (client.getServerCapabilities()?.tasks === undefined) {
    await client.close();
    return { needs: "the capability `tasks` of 2025-11-25" };
  }
  const { tools } = await client.listTools();
  const declared = new Map(tools.map((tool) => [tool.name, { ...tool, taskSupport: tool.execution?.taskSupport }]));
  const session = createTaskSessionFromClient(client, {
    endpointId: "mcp-pack",
    onInputRequest,
    tools: { currentTool: (tool) => declared.get(tool) },
  });
  return { session, close: async () => (await session.close(), client.close()) };
}

const accepted = { action: "accept", content: { confirm: true, value: "x", name: "Ada" } };

function must(holds, wrong, seen) {
  if (!holds) throw new Error(`${wrong}: ${JSON.stringify(seen)}`);
}

/** Runs a tool as a task to its end. */
async function run(session, tool, params, generation, cancel = false) {
  const task = generation === "legacy" ? { task: { preference: "require" } } : {};
  const execution = await session.callTool(tool, params, task);
  must(execution.kind === "task", "the client saw no task", execution.kind);
  if (cancel) await execution.cancel();
  const { outcome } = await execution.settle();
  return outcome;
}

const checks = [
  ["result", "a task's result passes the client's own schema", async (session, generation) => {
    const outcome = await run(session, "slow_compute", { seconds: 0.3, label: "reference" }, generation);
    must(outcome.status === "completed" && Array.isArray(outcome.result.content), "no result", outcome);
  }],
  ["question", "a question reaches the client and its answer the task", async (session, generation, asked) => {
    const outcome = await run(session, "confirm_delete", { filename: "reference.txt" }, generation);
    must(outcome.status === "completed", "no result", outcome);
    must(asked.length === 1 && asked[0].kind === "elicitation", "not one question", asked);
  }],
  ["two-questions", "two questions at once are answered", async (session, generation, asked) => {
    const outcome = await run(session, "multi_input", {}, generation);
    must(outcome.status === "completed" && asked.length === 2, "not two answers and a result", [outcome, asked]);
  }],
  ["tool-failure", "a tool's own failure arrives as its result", async (session, generation) => {
    const outcome = await run(session, "failing_job", {}, generation);
    const result = outcome.result ?? outcome.error;
    must(generation === "legacy" || outcome.result?.isError === true, "isError was lost", [outcome.status, String(result)]);
  }],
  ["protocol-error", "a protocol error arrives as an error with its code, in a session with its message", async (session, generation) => {
    const outcome = await run(session, "protocol_error_job", {}, generation);
    // In a session the client does not ask for the result of a failed task, which has the code.
    const told = generation === "legacy" ? outcome.error?.message : Number.isInteger(outcome.error?.code);
    must(outcome.status === "failed" && told, "no error", [outcome.status, String(outcome.error)]);
  }],
  ["cancel", "a task that the client cancels is cancelled", async (session, generation) => {
    const outcome = await run(session, "slow_compute", { seconds: 60, label: "cancel" }, generation, true);
    must(outcome.status === "cancelled", "not cancelled", outcome.status);
  }],
];

const plainChecks = [
  ["tools", "the list of tools passes the client's own schema", async (client) => {
    const { tools } = await client.listTools();
    must(tools.some((tool) => tool.name === "slow_compute"), "no tools", tools.map((tool) => tool.name));
  }],
  ["legs", "a long call that comes back arrives", async (client) => {
    const result = await client.callTool({ name: "slow_compute", arguments: { seconds: 3, label: "legs" } });
    must(Array.isArray(result.content) && !result.isError, "no result", result);
  }],
];

/** The official client of a gateway, in the newest era that it speaks. */
async function newest() {
  const client = await connected({ capabilities: {}, versionNegotiation: { mode: "auto" } });
  return { session: client, close: () => client.close() };
}

/** The same in a session of 2025-11-25, which a gateway need not have. */
async function session() {
  const client = await connected({ capabilities: {} }).catch(() => null);
  return client === null ? { needs: "sessions of 2025-11-25" } : { session: client, close: () => client.close() };
}

/** What is sound behind a gateway; it may have put something before the names. */
const gatewayChecks = [
  ["list", "the client takes the list, and in it every sound tool, though its upstream has bad ones", async (client) => {
    const { tools } = await client.listTools();
    for (const sound of ["sound", "typed", "echo"]) {
      const found = tools.filter((tool) => new RegExp(`(^|[^a-z0-9])${sound}$`).test(tool.name));
      must(found.length === 1, `not one tool \`${sound}\``, tools.map((tool) => tool.name));
      const result = await client.callTool({ name: found[0].name, arguments: { a: "x" } });
      must(result.content?.length > 0 && !result.isError, `\`${sound}\` does not answer`, result);
    }
  }],
];

/** What went wrong, in one line that a report can bear. */
function shown(error) {
  return String(error?.cause ?? error).replace(/\s+/g, " ").slice(0, 1200);
}

/** One check with a connection of its own; silence is a failure. */
async function judge(generation, open, [id, description, check]) {
  const asked = [];
  let opened;
  const work = async () => {
    opened = await open((request) => (asked.push(request), accepted));
    if (opened.needs !== undefined) return [null, `needs ${opened.needs}`];
    await check(opened.session, generation, asked);
    return [true, ""];
  };
  const [ok, message] = await inTime(work()).catch((error) => [false, shown(error)]);
  await inTime(opened?.close?.()).catch(() => {});
  process.stdout.write(`${JSON.stringify({ id: `${generation}-${id}`, description, ok, message })}\n`);
}

async function inTime(work) {
  const { promise: silence, reject } = Promise.withResolvers();
  const timer = setTimeout(() => reject(new Error("nothing came within 60 s")), 60_000);
  return Promise.race([work, silence]).finally(() => clearTimeout(timer));
}

const ofServer = [["plain", plain, plainChecks], ["modern", modern, checks], ["legacy", legacy, checks]];
const ofGateway = [["newest", newest, gatewayChecks], ["legacy", session, gatewayChecks]];
for (const [generation, open, of] of process.env.MCP_PACK_UPSTREAM ? ofGateway : ofServer) {
  for (const check of of) await judge(generation, open, check);
}
process.exit(0);
