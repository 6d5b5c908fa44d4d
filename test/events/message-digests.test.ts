import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { EventLike } from "../../src/events/event.ts";
import { digestOfMessage, digestsOf, UNKNOWN_DIGEST } from "../../src/events/message-digests.ts";
import { reduceWithClients } from "./clients.ts";
import { interleavedRun, plainRun } from "./random-runs.ts";

const started = { type: "RUN_STARTED", threadId: "t", runId: "r" };

/** The messages that a client makes of the events, without those that it does not send back. */
async function messagesOf(events: readonly EventLike[]): Promise<{ id: string; role: string }[]> {
  const [view] = await reduceWithClients(events);
  const messages = view?.messages as { id: string; role: string }[];
  return messages.filter(({ role }) => role !== "activity");
}

describe("the messages of a run", () => {
  test("are those streamed, those in the input of the run and those in snapshots", () => {
    const events = [
      { ...started, input: { messages: [{ id: "u1" }, { role: "user" }, { id: "" }, null] } },
      { type: "TEXT_MESSAGE_START", messageId: "m1" },
      { type: "TOOL_CALL_RESULT", messageId: "m2", toolCallId: "c" },
      { type: "TOOL_CALL_START", toolCallId: "c", toolCallName: "ask", parentMessageId: "m3" },
      { type: "TEXT_MESSAGE_START", messageId: "" },
      { type: "MESSAGES_SNAPSHOT", messages: [{ id: "s1" }, { id: 5 }] },
    ];
    expect(digestsOf(events).map(([id]) => id)).toEqual(["u1", "m1", "m2", "m3", "s1"]);
  });

  test("are found whatever else there is", () => {
    const junk = fc.oneof(
      fc.anything(),
      fc.record({ type: fc.constant("RUN_STARTED"), input: fc.anything() }),
      fc.record({ type: fc.constant("MESSAGES_SNAPSHOT"), messages: fc.anything() }),
    );
    fc.assert(
      fc.property(fc.array(junk), (events) => {
        const withOne = [...events, { type: "X", messageId: "m" }] as EventLike[];
        expect(digestsOf(withOne).map(([id]) => id)).toContain("m");
      }),
    );
  });

  test("have the digests of the messages that a client makes of the same events", async () => {
    let compared = 0;
    await fc.assert(
      fc.asyncProperty(fc.oneof(plainRun, interleavedRun), async (run) => {
        const types = new Set(run.map(({ type }) => type));
        // The runs use few ids: a reasoning message or an activity may have the id of another message.
        fc.pre(!types.has("MESSAGES_SNAPSHOT") || !types.has("REASONING_MESSAGE_START"));
        fc.pre(!types.has("ACTIVITY_SNAPSHOT"));
        const digests = new Map(digestsOf(run));
        const messages = await messagesOf(run);
        for (const message of messages) {
          // Some runs lead a client to two messages of one id.
          if (messages.filter(({ id }) => id === message.id).length > 1) continue;
          const digest = digests.get(message.id);
          expect(digest, message.id).toBeDefined();
          if (digest === UNKNOWN_DIGEST) continue;
          compared++;
          expect(digest, JSON.stringify(message)).toBe(digestOfMessage(message));
        }
      }),
      { numRuns: 300 },
    );
    expect(compared).toBeGreaterThan(300);
  });
});

describe("a digest", () => {
  const message = { id: "m", role: "tool", toolCallId: "c", content: "no" };
  const call = { id: "c", type: "function", function: { name: "ask", arguments: "{}" } };
  const caller = { id: "a", role: "assistant", toolCalls: [call] };

  test.each([
    ["its content", message, { ...message, content: "yes" }],
    ["its role", message, { ...message, role: "user" }],
    ["the call that it answers", message, { ...message, toolCallId: "d" }],
    ["its tool calls", caller, { ...caller, toolCalls: [] }],
    [
      "the arguments of a call",
      caller,
      {
        ...caller,
        toolCalls: [{ ...call, function: { name: "ask", arguments: "[]" } }],
      },
    ],
    [
      "a part of its content",
      { ...message, content: [{ type: "text", text: "a" }] },
      { ...message, content: [{ type: "text", text: "b" }] },
    ],
  ])("changes with %s", (_, one, other) => {
    expect(digestOfMessage(one)).not.toBe(digestOfMessage(other));
  });

  test("is the same for the ways in which clients leave out what is empty", () => {
    const plain = digestOfMessage({ role: "assistant", content: "" });
    expect(digestOfMessage({ role: "assistant" })).toBe(plain);
    expect(digestOfMessage({ role: "assistant", content: null, toolCalls: [] })).toBe(plain);
  });

  test("is unknown for a message that cannot be read", () => {
    const content: unknown[] = [];
    content.push(content);
    expect(digestOfMessage({ role: "user", content })).toBe(UNKNOWN_DIGEST);
    expect(digestOfMessage(null)).toBe(UNKNOWN_DIGEST);
  });
});
