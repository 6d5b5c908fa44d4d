import { describe, expect, test } from "vitest";
import type { EventLike } from "../../src/events/event.ts";
import { endOf, factsOf } from "../../src/events/run-facts.ts";

describe("the usage of a run", () => {
  test.each<[string, object, object | null]>([
    [
      "an object for each model",
      { usage: [{ inputTokens: 1, outputTokens: 2 }, { inputTokens: 3 }] },
      { input: 4, output: 2 },
    ],
    ["an object", { usage: { inputTokens: 1, outputTokens: 2 } }, { input: 1, output: 2 }],
    [
      "in the result, as OpenAI names it",
      { result: { usage: { prompt_tokens: 5, completion_tokens: 6 } } },
      { input: 5, output: 6 },
    ],
    [
      "in the result, as Anthropic names it",
      { result: { usage: { input_tokens: 5, output_tokens: 6 } } },
      { input: 5, output: 6 },
    ],
    ["no counts", { usage: [{ model: "x", inputTokens: "5", outputTokens: -1 }] }, null],
    ["nothing", {}, null],
    ["no object", { usage: 5, result: "done" }, null],
  ])("%s", (_, fields, tokens) => {
    expect(endOf({ type: "RUN_FINISHED", ...fields }).tokens).toEqual(tokens);
    expect(endOf({ type: "RUN_ERROR", ...fields }).tokens).toEqual(tokens);
  });
});

describe("the messages of a run", () => {
  const start = (messages: unknown): EventLike => ({ type: "RUN_STARTED", input: { messages } });

  test("are those of its input and its events, each once", () => {
    const events = [
      start([{ id: "u", role: "user", content: "question" }]),
      { type: "TEXT_MESSAGE_CHUNK", messageId: "a", role: "assistant", delta: "one " },
      { type: "TEXT_MESSAGE_CHUNK", delta: "two" },
      { type: "TOOL_CALL_RESULT", messageId: "tool", toolCallId: "c", content: "tool result" },
      { type: "MESSAGES_SNAPSHOT", messages: [{ id: "u" }, { id: "a" }, { id: "tool" }] },
    ];
    expect(factsOf(events, 0)).toMatchObject({
      userText: "question",
      texts: ["question", "one two"],
      messages: 3,
    });
  });

  test("of a snapshot, those behind the messages that the thread had are new", () => {
    const list = [1, 2, 3].map((at) => ({
      id: `m${at}`,
      role: "assistant",
      content: `text ${at}`,
    }));
    const snapshot = { type: "MESSAGES_SNAPSHOT", messages: list };
    expect(factsOf([snapshot], 2)).toMatchObject({ texts: ["text 3"], messages: 3 });
    // Of a list that became shorter, no message is known to be old.
    expect(factsOf([snapshot], 5)).toMatchObject({
      texts: ["text 1", "text 2", "text 3"],
      messages: 5,
    });
  });

  test.each([[undefined], [null], ["x"], [[null, 5, {}, { id: 5, role: 5, content: {} }]]])(
    "%j in an input is passed over",
    (messages) => {
      expect(
        factsOf([start(messages), { type: "TEXT_MESSAGE_CONTENT", delta: 5 }], 0),
      ).toMatchObject({
        userText: null,
        texts: [],
      });
    },
  );

  test("have so much text that is taken at most", () => {
    const messages = Array.from({ length: 10 }, (_, at) => ({
      id: `m${at}`,
      role: "user",
      content: "x".repeat(100_000),
    }));
    const { texts } = factsOf([start(messages)], 0);
    expect(texts.join("").length).toBe(256 * 1024);
  });
});
