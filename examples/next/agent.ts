import { EventType } from "@ag-ui/core";
import { BuiltInAgent } from "@copilotkit/runtime/v2";

const WORD_MS = 80;
const ANSWER =
  "This conversation is stored while I speak. Reload the page in the middle of this sentence, or " +
  "restart the server and open the conversation from the list: it is all there. I need no key, " +
  "because I always say the same.";

/** Stands in for an agent with a model: `new BuiltInAgent({ model: "openai/gpt-5-mini" })`, for example. */
export const agent = new BuiltInAgent({
  type: "custom",
  async *factory({ input, abortSignal }) {
    const messageId = crypto.randomUUID();
    const question = input.messages.at(-1)?.content;
    yield { type: EventType.TEXT_MESSAGE_START, messageId, role: "assistant" };
    for (const word of `You said: ${question}\n\n${ANSWER}`.split(/(?<= )/)) {
      if (abortSignal.aborted) return;
      yield { type: EventType.TEXT_MESSAGE_CONTENT, messageId, delta: word };
      await new Promise((resolve) => setTimeout(resolve, WORD_MS));
    }
    yield { type: EventType.TEXT_MESSAGE_END, messageId };
  },
});
