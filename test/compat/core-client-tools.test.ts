import "../support/leak-guard.ts";
import { describe, expect, test } from "vitest";
import { answered, answers, calling, openChat, PARAMETERS } from "../support/core-chat.ts";
import { heldBy, listOf } from "../support/core-client.ts";
import { text } from "../support/scripted-agent.ts";

describe("a page that reloads, with CopilotKit's core client, shows the same after a tool", () => {
  test("that the client executed, and text behind the call in the same run", async () => {
    const chat = await openChat({
      *turns(turn) {
        yield* text(`a${turn}`, "let me ask");
        if (turn > 1) return;
        yield* calling("a1", "c1");
        yield* text("b1", "I have asked");
      },
      prepare: ({ core }) => core.addTool(answered("yes")),
    });
    await chat.last(2, () => chat.live.say("u1"));
    expect(listOf(chat.live)).toEqual(["u1", "a1", "tool", "b1", "a2"]);
    await chat.expectSameEverywhere();
  });

  test("that the client executed twice in a run, and again in the next one", async () => {
    const chat = await openChat({
      *turns(turn) {
        if (turn === 1) {
          yield* calling("a1", "c1");
          yield* calling("a1", "c2");
        } else if (turn === 2) {
          yield* calling("a2", "c3");
          yield* text("b2", "and then");
        } else {
          yield* text("a3", "done");
        }
      },
      prepare: ({ core }) => core.addTool(answered("yes")),
    });
    await chat.last(3, () => chat.live.say("u1"));
    expect(listOf(chat.live)).toEqual([
      ...["u1", "a1", "tool", "tool"],
      ...["a2", "tool", "b2", "a3"],
    ]);
    await chat.expectSameEverywhere();
  });

  test("whose result waits for the next question", async () => {
    const chat = await openChat({
      *turns(turn) {
        if (turn === 1) yield* calling("a1", "c1");
        yield* text(`b${turn}`, "text");
      },
      prepare: ({ core }) => core.addTool({ ...answered("yes"), followUp: false }),
    });
    await chat.live.say("u1");
    await chat.last(2, () => chat.live.say("u2"));
    expect(listOf(chat.live)).toEqual(["u1", "a1", "tool", "b1", "u2", "b2"]);
    await chat.expectSameEverywhere();
  });

  test("that the page runs by itself", async () => {
    const chat = await openChat({
      turns: answers,
      prepare: ({ core }) => core.addTool(answered("yes")),
    });
    await chat.live.say("u1");
    await chat.last(2, () => chat.live.core.runTool({ name: "ask", followUp: "go on" }));
    expect(listOf(chat.live)).toEqual(["u1", "a1", "assistant", "tool", "user", "a2"]);
    await chat.expectSameEverywhere();
  });

  test("for which the server had put a placeholder", async () => {
    const chat = await openChat({
      *turns(turn) {
        if (turn === 1) {
          yield* calling("a1", "c1");
          yield {
            ...{ type: "TOOL_CALL_RESULT", messageId: "placeholder", toolCallId: "c1" },
            content: "Forwarded to client",
          };
        }
        yield* text(`b${turn}`, "text");
      },
      prepare: ({ core }) => core.addTool(answered("yes")),
    });
    await chat.last(2, () => chat.live.say("u1"));
    expect(listOf(chat.live)).toEqual(["u1", "a1", "tool", "b1", "b2"]);
    expect(JSON.stringify(heldBy(chat.live))).not.toContain("Forwarded to client");
    await chat.expectSameEverywhere();
  });

  test("for which a snapshot had a placeholder", async () => {
    const chat = await openChat({
      *turns(turn, { input }) {
        if (turn === 1) {
          yield* calling("a1", "c1");
          yield {
            type: "MESSAGES_SNAPSHOT",
            messages: [
              ...input.messages,
              {
                ...{ id: "a1", role: "assistant", content: "" },
                toolCalls: [
                  { id: "c1", type: "function", function: { name: "ask", arguments: "{}" } },
                ],
              },
              { id: "p", role: "tool", toolCallId: "c1", content: "Forwarded to client" },
            ],
          };
        }
        yield* text(`b${turn}`, "text");
      },
      prepare: ({ core }) => core.addTool(answered("yes")),
    });
    await chat.last(2, () => chat.live.say("u1"));
    expect(listOf(chat.live)).toEqual(["u1", "a1", "tool", "b1", "b2"]);
    await chat.expectSameEverywhere();
  });

  test("that the server executed, where a snapshot left its result out", async () => {
    const chat = await openChat({
      *turns(turn, { input }) {
        if (turn === 1) {
          yield* calling("a1", "c1");
          yield { type: "TOOL_CALL_RESULT", messageId: "r1", toolCallId: "c1", content: "found" };
          yield {
            type: "MESSAGES_SNAPSHOT",
            messages: [
              ...input.messages,
              {
                ...{ id: "a1", role: "assistant", content: "" },
                toolCalls: [
                  { id: "c1", type: "function", function: { name: "ask", arguments: "{}" } },
                ],
              },
            ],
          };
        }
        yield* text(`b${turn}`, "text");
      },
    });
    await chat.live.say("u1");
    await chat.last(2, () => chat.live.say("u2"));
    expect(listOf(chat.live)).toEqual(["u1", "a1", "r1", "b1", "u2", "b2"]);
    await chat.expectSameEverywhere();
  });

  test("that asks a person, who answers on a page that was loaded later", async () => {
    const chat = await openChat({
      *turns(turn) {
        if (turn === 1) yield* calling("a1", "c1");
        yield* text(`b${turn}`, "text");
      },
    });
    // This page is closed before the person answers.
    const closed = chat.open();
    const asked = Promise.withResolvers<void>();
    closed.core.addTool({
      ...{ name: "ask", type: "human-in-the-loop", parameters: PARAMETERS },
      handler: () => {
        asked.resolve();
        return new Promise<never>(() => undefined);
      },
    });
    void closed.say("u1");
    await asked.promise;
    chat.live.core.addTool({ ...answered("yes"), type: "human-in-the-loop" });
    await chat.last(2, async () => {
      const ended = new Promise<void>((resolve) => {
        let runs = 0;
        chat.live.agent.subscribe({ onRunFinalized: () => (++runs === 2 ? resolve() : undefined) });
      });
      await chat.live.connect();
      await ended;
    });
    expect(listOf(chat.live)).toEqual(["u1", "a1", "tool", "b1", "b2"]);
    await chat.expectSameEverywhere();
  });
});
