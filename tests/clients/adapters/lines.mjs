// The adapters' side of the talk with the harness, for clients in JavaScript. See "The talk" in ../README.md.

import { createInterface } from "node:readline";

/** A verb is a method of the adapter; it gets the members of the line, and a signal that gives it up. */
export function serve(adapter) {
  const underWay = new Map();
  const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");

  async function answer({ id, verb, answer, ...members }) {
    const controller = new AbortController();
    underWay.set(id, controller);
    if (answer !== undefined) adapter.answer = answer;
    try {
      say({ id, ok: (await adapter[verb](members, controller.signal)) ?? null });
    } catch (error) {
      console.error(error);
      say({ id, error: String(error?.message ?? error) });
    } finally {
      underWay.delete(id);
    }
  }

  const lines = createInterface({ input: process.stdin });
  lines.on("line", (line) => {
    const said = JSON.parse(line);
    if (said.verb === "abandon") underWay.get(said.call)?.abort();
    else void answer(said);
  });
  lines.on("close", () => process.exit());
}

/** What a person answers to a form. */
export function elicited(answer) {
  return answer === undefined ? { action: "decline" } : { action: "accept", content: answer };
}

/** A tool's result as the harness knows it. */
export function told(result) {
  return { structured: result.structuredContent ?? null, text: text(result.content), is_error: result.isError ?? false };
}

/** The text of content blocks. */
export function text(blocks) {
  return blocks.filter((block) => block.type === "text").map((block) => block.text).join("\n");
}
