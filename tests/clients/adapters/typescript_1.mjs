// The TypeScript SDK 1: the legacy era with its tasks. To be run beside the `node_modules` that it is imported from.

import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { CallToolResultSchema, ElicitRequestSchema } from "@modelcontextprotocol/sdk/types.js";
import { elicited, serve, text, told } from "./lines.mjs";

const manifest = new URL("node_modules/@modelcontextprotocol/sdk/package.json", import.meta.url);
const { version } = JSON.parse(readFileSync(manifest));

class TypeScript1 {
  async open({ server, timeout_s }) {
    this.options = { timeout: timeout_s * 1000 };
    this.client = new Client({ name: "interop", version: "1" }, { capabilities: { elicitation: {} } });
    this.client.setRequestHandler(ElicitRequestSchema, () => elicited(this.answer));
    this.transport = server.url ? this.http(server) : this.stdio(server);
    await this.client.connect(this.transport, this.options);
    return { client: `@modelcontextprotocol/sdk ${version}`, protocol: this.protocol };
  }

  http({ url, token }) {
    const transport = new StreamableHTTPClientTransport(new URL(url), {
      requestInit: { headers: { Authorization: `Bearer ${token}` } },
    });
    return this.noting(transport);
  }

  stdio({ command: [command, ...args], env }) {
    return this.noting(new StdioClientTransport({ command, args, env, stderr: "inherit" }));
  }

  /** The client keeps the agreed version to itself, but tells it to its transport. */
  noting(transport) {
    const told = transport.setProtocolVersion?.bind(transport);
    transport.setProtocolVersion = (version) => {
      this.protocol = version;
      told?.(version);
    };
    return transport;
  }

  close() {
    return this.client.close();
  }

  async tools() {
    const { tools } = await this.client.listTools(undefined, this.options);
    return tools.map((tool) => tool.name);
  }

  async call({ tool, arguments: given }, signal) {
    const call = { name: tool, arguments: given };
    return told(await this.client.callTool(call, undefined, { ...this.options, signal }));
  }

  async prompt({ name, arguments: given }) {
    const { messages } = await this.client.getPrompt({ name, arguments: given }, this.options);
    return { text: text(messages.map((message) => message.content)) };
  }

  async start({ tool, arguments: given }) {
    const call = { name: tool, arguments: given };
    const stream = this.client.experimental.tasks.callToolStream(call, undefined, { ...this.options, task: {} });
    for await (const message of stream) {
      if (message.type !== "taskCreated") throw message.error ?? new Error(`not a task: ${message.type}`);
      return { task: message.task.taskId };
    }
  }

  async status({ task }) {
    const { status } = await this.client.experimental.tasks.getTask(task, this.options);
    return { status };
  }

  /** As its own stream goes on, which keeps nothing of a task that failed. */
  async result({ task }) {
    for (;;) {
      const { status, pollInterval } = await this.client.experimental.tasks.getTask(task, this.options);
      if (status !== "working") break;
      await sleep(pollInterval);
    }
    return told(await this.client.experimental.tasks.getTaskResult(task, CallToolResultSchema, this.options));
  }

  async cancel({ task }) {
    await this.client.experimental.tasks.cancelTask(task, this.options);
  }
}

serve(new TypeScript1());
