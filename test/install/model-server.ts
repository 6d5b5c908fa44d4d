import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

export const ANSWER = ["All ", "is ", "kept."];

/** The stream of OpenAI's responses endpoint for a short answer. */
const EVENTS = [
  { type: "response.created", response: { id: "resp", created_at: 0, model: "stand-in" } },
  { type: "response.output_item.added", output_index: 0, item: { type: "message", id: "msg" } },
  ...ANSWER.map((delta) => ({ type: "response.output_text.delta", item_id: "msg", delta })),
  { type: "response.output_item.done", output_index: 0, item: { type: "message", id: "msg" } },
  { type: "response.completed", response: { usage: { input_tokens: 1, output_tokens: 3 } } },
];

/** Replaces OpenAI, so that the agents of the documentation run unchanged, without a key. */
export async function startModelServer(): Promise<{ env: NodeJS.ProcessEnv; close(): void }> {
  const server = createServer((request, response) => {
    request.resume();
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (const event of EVENTS) response.write(`data: ${JSON.stringify(event)}\n\n`);
    response.end("data: [DONE]\n\n");
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address() as AddressInfo;
  return {
    env: { OPENAI_BASE_URL: `http://127.0.0.1:${port}/v1`, OPENAI_API_KEY: "none" },
    close: () => void server.close(),
  };
}
