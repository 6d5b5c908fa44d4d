import "../support/leak-guard.ts";
import { readFileSync } from "node:fs";
import type { Interrupt } from "@ag-ui/client";
import { describe, expect, test } from "vitest";
import { startCopilotServer } from "../support/copilot-server.ts";
import { agentOf, answered, answers, calling, openChat, type Turn } from "../support/core-chat.ts";
import { type CoreClient, heldBy, listOf, openCoreClient } from "../support/core-client.ts";
import { openRunner } from "../support/open-runner.ts";
import { finished, type ScriptEvent, text } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const threadId = "thread";

const INTERRUPT = { id: "approval", reason: "confirmation", message: "Send it?" };

describe("a page that reloads, with CopilotKit's core client, shows the same", () => {
  test("after several turns", async () => {
    const chat = await openChat({ turns: answers });
    await chat.live.say("u1");
    await chat.last(2, () => chat.live.say("u2"));
    expect(listOf(chat.live)).toEqual(["u1", "a1", "u2", "a2"]);
    await chat.expectSameEverywhere();
  });

  describe("after an interrupt that was answered,", () => {
    const asking = (ask: ScriptEvent): Turn =>
      function* (turn, { input }) {
        if (turn === 1) {
          yield* text("question", "May I?");
          yield ask.type === "RUN_FINISHED" ? { ...finished(input), ...ask } : ask;
          return;
        }
        const { command } = (input.forwardedProps ?? {}) as { command?: { resume?: unknown } };
        const answer = command?.resume ?? input.resume?.[0]?.payload;
        yield* text("outcome", `answered ${JSON.stringify(answer)}`);
      };

    test("raised by a custom event", async () => {
      const chat = await openChat({
        turns: asking({ type: "CUSTOM", name: "on_interrupt", value: INTERRUPT }),
      });
      const { core, agent } = chat.live;
      let runId = "";
      agent.subscribe({
        onRunFinalized({ input }) {
          runId = input.runId;
        },
      });
      await chat.live.say("u1");
      const command = { resume: true, interruptEvent: INTERRUPT };
      await chat.last(2, () => core.runAgent({ agent, runId, forwardedProps: { command } }));
      expect(agent.messages.map(({ content }) => content)).toEqual([
        ...["text of u1", "May I?", "answered true"],
      ]);
      await chat.expectSameEverywhere();
    });

    test("raised by the outcome of the run, on a page that was loaded later", async () => {
      const outcome = { type: "interrupt", interrupts: [INTERRUPT] };
      const chat = await openChat({
        turns: asking({ type: "RUN_FINISHED", outcome }),
      });
      const first = chat.open();
      await first.say("u1");
      expect(first.agent.pendingInterrupts).toMatchObject([INTERRUPT]);
      const { core, agent } = chat.live;
      await chat.live.connect();
      expect(heldBy(chat.live)).toEqual(heldBy(first));
      const resume = agent.pendingInterrupts.map(({ id }: Interrupt) => {
        return { interruptId: id, status: "resolved" as const, payload: true };
      });
      await chat.last(2, () => core.runAgent({ agent, resume }));
      expect(agent.pendingInterrupts).toEqual([]);
      expect(listOf(chat.live)).toEqual(["u1", "question", "outcome"]);
      await chat.expectSameEverywhere();
    });
  });

  /** What a chat does to ask for another answer: the list ends with the question. */
  async function regenerate({ agent, run }: CoreClient, answer: string) {
    const at = agent.messages.findIndex(({ id }) => id === answer);
    const question = agent.messages.slice(0, at).findLastIndex(({ role }) => role === "user");
    agent.setMessages(agent.messages.slice(0, question + 1));
    await run();
  }

  test("after the last answer was asked for again", async () => {
    const chat = await openChat({ turns: answers });
    await chat.live.say("u1");
    await chat.live.say("u2");
    await chat.last(3, () => regenerate(chat.live, "a2"));
    expect(listOf(chat.live)).toEqual(["u1", "a1", "u2", "a3"]);
    await chat.expectSameEverywhere();
  });

  test("after the first answer was asked for again, with tools behind it, twice", async () => {
    const chat = await openChat({
      *turns(turn) {
        if (turn === 1) yield* calling("c", "c1");
        yield* text(`a${turn}`, "text");
      },
      prepare: ({ core }) => core.addTool(answered("yes")),
    });
    await chat.live.say("u1");
    await chat.live.say("u2");
    expect(listOf(chat.live)).toEqual(["u1", "c", "tool", "a1", "a2", "u2", "a3"]);
    await regenerate(chat.live, "a2");
    await chat.last(5, () => regenerate(chat.live, "a4"));
    expect(listOf(chat.live)).toEqual(["u1", "a5"]);
    await chat.expectSameEverywhere();
  });

  test("after reasoning and activities, with the last answer asked for again", async () => {
    const chat = await openChat({
      *turns(turn) {
        const messageId = `r${turn}`;
        const content = { step: turn };
        yield { type: "ACTIVITY_SNAPSHOT", messageId: `p${turn}`, activityType: "PLAN", content };
        yield { type: "REASONING_START", messageId };
        yield { type: "REASONING_MESSAGE_START", messageId, role: "reasoning" };
        yield { type: "REASONING_MESSAGE_CONTENT", messageId, delta: "hm" };
        yield { type: "REASONING_MESSAGE_END", messageId };
        yield { type: "REASONING_END", messageId };
        yield* answers(turn);
      },
    });
    await chat.live.say("u1");
    await chat.live.say("u2");
    await chat.last(3, () => regenerate(chat.live, "a2"));
    expect(listOf(chat.live)).toEqual([...["u1", "p1", "r1", "a1"], ...["u2", "p3", "r3", "a3"]]);
    await chat.expectSameEverywhere();
  });

  test("after the state was set between runs, by client and agent", async () => {
    const chat = await openChat({
      *turns(turn) {
        yield* answers(turn);
        if (turn !== 2) return;
        yield { type: "STATE_DELTA", delta: [{ op: "add", path: "/steps", value: 1 }] };
      },
    });
    const { agent, say } = chat.live;
    agent.setState({ lang: "de", draft: "x" });
    await say("u1");
    agent.setState({ lang: "fr" });
    await say("u2");
    expect(agent.state).toEqual({ lang: "fr", steps: 1 });
    agent.setState({ ...agent.state, lang: "it" });
    await chat.last(3, () => say("u3"));
    expect(agent.state).toEqual({ lang: "it", steps: 1 });
    await chat.expectSameEverywhere();
  });
});

test("a token that a client forwards with its runs reaches the agent alone", async () => {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath });
  const token = "Bearer of-a-secret";
  const got: unknown[] = [];
  const agent = agentOf(function* (turn, { input }) {
    got.push(input.forwardedProps);
    yield* answers(turn);
  });
  const server = await startCopilotServer(runner, agent.script);
  const client = openCoreClient(server, { threadId, properties: { authorization: token } });
  await client.say("u1");
  const props = { key: token };
  await client.core.runAgent({ agent: client.agent, forwardedProps: props });
  expect(got).toEqual([{ authorization: token }, { authorization: token, ...props }]);

  const response = await fetch(server.connectUrl, {
    method: "POST",
    headers: { "content-type": "application/json", accept: "text/event-stream" },
    body: JSON.stringify({ ...{ threadId, runId: "r", messages: [], tools: [] }, context: [] }),
  });
  const body = await response.text();
  expect(body).toContain("answer 2");
  expect(body).not.toContain("of-a-secret");
  await server.close();
  await runner.close();
  expect(readFileSync(dbPath, "latin1")).not.toContain("of-a-secret");
});
