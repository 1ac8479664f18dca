// The TypeScript client 2: both eras, no tasks. A modern call comes back to it by a signed state. To be run beside the
// `node_modules` that it is imported from.

import { readFileSync } from "node:fs";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { elicited, serve, text, told } from "./lines.mjs";

const manifest = new URL("node_modules/@modelcontextprotocol/client/package.json", import.meta.url);
const { version } = JSON.parse(readFileSync(manifest));

class TypeScript2 {
  async open({ server, era, timeout_s }) {
    this.options = { timeout: timeout_s * 1000 };
    const capabilities = { elicitation: { form: {} } };
    const versionNegotiation = { mode: era === "legacy" ? "legacy" : "auto" };
    this.client = new Client({ name: "interop", version: "1" }, { capabilities, versionNegotiation });
    this.client.setRequestHandler("elicitation/create", () => elicited(this.answer));
    await this.client.connect(server.url ? this.http(server) : this.stdio(server), this.options);
    return { client: `@modelcontextprotocol/client ${version}`, protocol: this.client.getNegotiatedProtocolVersion() };
  }

  http({ url, token }) {
    return new StreamableHTTPClientTransport(new URL(url), {
      requestInit: { headers: { Authorization: `Bearer ${token}` } },
    });
  }

  stdio({ command: [command, ...args], env }) {
    return new StdioClientTransport({ command, args, env, stderr: "inherit" });
  }

  close() {
    return this.client.close();
  }

  async tools() {
    const { tools } = await this.client.listTools(undefined, this.options);
    return tools.map((tool) => tool.name);
  }

  async call({ tool, arguments: given }, signal) {
    return told(await this.client.callTool({ name: tool, arguments: given }, { ...this.options, signal }));
  }

  async prompt({ name, arguments: given }) {
    const { messages } = await this.client.getPrompt({ name, arguments: given }, this.options);
    return { text: text(messages.map((message) => message.content)) };
  }
}

serve(new TypeScript2());
