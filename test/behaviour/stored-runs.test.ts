import "../support/leak-guard.ts";
import type { BaseEvent } from "@ag-ui/core";
import { describe, expect, test } from "vitest";
import type { RunnableAgent } from "../../src/index.ts";
import { parseWithSchemas, reduceWithClients, verifyWithClients } from "../events/clients.ts";
import { eventsOf, runRows, valueIn, withDatabase } from "../support/database-file.ts";
import {
  openRunner,
  replayOf,
  runToEnd,
  spokenIn,
  typesOf,
  watch,
} from "../support/open-runner.ts";
import {
  answeringAgent,
  finished,
  heldAgent,
  inputOf,
  type ScriptEvent,
  scriptedAgent,
  started,
} from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";
import { uncaught } from "../support/uncaught.ts";

/** An agent that emits `events` between its start and its end. */
const emitting = (events: readonly ScriptEvent[]) =>
  scriptedAgent(function* ({ input }) {
    yield started(input);
    yield* events;
    yield finished(input);
  });

describe("pitfall 3: storing a run never fails because of what it contains", () => {
  const circular: Record<string, unknown> = { name: "response" };
  circular.self = circular;

  const contents: readonly (readonly [string, readonly ScriptEvent[]])[] = [
    ["a circular rawEvent", [{ type: "CUSTOM", name: "c", value: 1, rawEvent: circular }]],
    ["a BigInt", [{ type: "CUSTOM", name: "c", value: 10n }]],
    ["a toJSON that throws", [{ type: "CUSTOM", name: "c", value: { toJSON: () => fail() } }]],
    [
      "STATE_DELTA alone",
      [{ type: "STATE_DELTA", delta: [{ op: "add", path: "/count", value: 1 }] }],
    ],
    [
      "a STATE_DELTA that does not apply",
      [{ type: "STATE_DELTA", delta: [{ op: "replace", path: "/no/such/place", value: 1 }] }],
    ],
    ["a STATE_DELTA that is no patch", [{ type: "STATE_DELTA", delta: null }]],
    ["an event of no known type", [{ type: "FROM_THE_FUTURE", value: 1 }]],
  ];

  function fail(): never {
    throw new Error("toJSON of the agent");
  }

  test.each(contents)("pitfall 3: %s", async (_name, events) => {
    const rejections = uncaught();
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    const emitted = await runToEnd(runner, "thread", "odd", emitting(events));
    expect(typesOf(emitted)).toEqual(["RUN_STARTED", events[0]?.type, "RUN_FINISHED"]);
    await runToEnd(runner, "thread", "next", answeringAgent());

    expect(runRows(dbPath, "thread").map((row) => row.run_id)).toEqual(["odd", "next"]);
    const replay = await replayOf(runner, "thread");
    expect(typesOf(replay)).toHaveLength(3 + 5);
    expect(spokenIn(replay)).toBe("answer to next");
    await runner.close();
    expect(rejections).toEqual([]);
  });

  test("pitfall 3: a run of STATE_DELTA alone comes back as the state it made", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const delta = [{ op: "add", path: "/count", value: 1 }];
    await runToEnd(runner, "thread", "run", emitting([{ type: "STATE_DELTA", delta }]));
    for (const { state } of await reduceWithClients(await replayOf(runner, "thread"))) {
      expect(state).toEqual({ count: 1 });
    }
  });

  test("pitfall 3: a run is stored although its run id is stored already, on its thread or on another", async () => {
    const rejections = uncaught();
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    for (const threadId of ["thread", "other thread", "thread"]) {
      const events = await runToEnd(runner, threadId, "same", answeringAgent());
      expect(events.at(-1)?.type).toBe("RUN_FINISHED");
    }
    expect(runRows(dbPath, "thread")).toHaveLength(2);
    expect(runRows(dbPath, "other thread")).toHaveLength(1);
    await runner.close();
    expect(rejections).toEqual([]);
  });

  test("pitfall 3: a run is stored although another program has stored its run id meanwhile", async () => {
    const rejections = uncaught();
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    const agent = heldAgent();
    const run = watch(runner.run({ threadId: "thread", agent, input: inputOf("thread", "run") }));
    await agent.halfway;
    withDatabase(dbPath, (db) =>
      db.exec(
        `INSERT INTO agent_runs (thread_id, run_id, events, input, created_at, version)
         VALUES ('elsewhere', 'run', '[]', '{}', 1, 1)`,
      ),
    );
    agent.release();
    expect((await run.done).at(-1)).toMatchObject({ type: "RUN_FINISHED" });
    await runToEnd(runner, "thread", "next", answeringAgent());
    expect(spokenIn(await replayOf(runner, "thread"))).toBe(
      "first half, second halfanswer to next",
    );
    expect(runRows(dbPath, "elsewhere")).toMatchObject([{ run_id: "run", events: "[]" }]);
    await runner.close();
    expect(rejections).toEqual([]);
  });
});

describe("the stored input", () => {
  test("pitfall 11: holds only the messages new to the thread, so its bytes grow linearly", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath, durability: "normal" });
    const history: string[] = [];
    for (let turn = 100; turn < 300; turn++) {
      history.push(`question-${turn}`);
      const input = inputOf("thread", `run-${turn}`, history);
      const stream = runner.run({ threadId: "thread", agent: answeringAgent(), input });
      await new Promise<void>((resolve) => {
        stream.subscribe({ complete: resolve });
      });
      history.push(`answer-run-${turn}`);
    }

    const rows = runRows(dbPath, "thread");
    expect(rows).toHaveLength(200);
    for (const [at, row] of rows.entries()) {
      const { messages } = JSON.parse(row.input) as { messages: { id: string }[] };
      expect(messages.map(({ id }) => id)).toEqual([`question-${100 + at}`]);
    }
    // All ids have the same length, so the input of every turn has too.
    expect(new Set(rows.map((row) => row.input.length)).size).toBe(1);
    expect(new Set(rows.map((row) => row.events.length)).size).toBe(1);
  });
});

describe("the stored events of a run", () => {
  const reasoning: ScriptEvent[] = [
    { type: "REASONING_START", messageId: "r" },
    { type: "REASONING_MESSAGE_START", messageId: "r", role: "reasoning" },
    ...Array.from({ length: 500 }, (_, at) => ({
      type: "REASONING_MESSAGE_CONTENT",
      messageId: "r",
      delta: `thought ${at} `,
    })),
    { type: "REASONING_MESSAGE_END", messageId: "r" },
    { type: "REASONING_END", messageId: "r" },
  ];

  test("pitfall 12: 500 reasoning deltas become one", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    const emitted = await runToEnd(runner, "thread", "run", emitting(reasoning));
    expect(emitted).toHaveLength(reasoning.length + 2);
    const stored = eventsOf(runRows(dbPath, "thread")[0]);
    const content = stored.filter(({ type }) => type === "REASONING_MESSAGE_CONTENT");
    expect(content.map(({ delta }) => delta)).toEqual([
      Array.from({ length: 500 }, (_, at) => `thought ${at} `).join(""),
    ]);
    const replay = await replayOf(runner, "thread");
    expect(await reduceWithClients(replay)).toEqual(await reduceWithClients(emitted));
  });

  const raw: ScriptEvent[] = [
    { type: "RAW", event: { chunk: "as the model sent it" }, source: "model" },
    { type: "TEXT_MESSAGE_START", messageId: "m", role: "assistant", rawEvent: { chunk: 1 } },
    { type: "TEXT_MESSAGE_CONTENT", messageId: "m", delta: "said", rawEvent: { chunk: 2 } },
    { type: "TEXT_MESSAGE_END", messageId: "m", rawEvent: { chunk: 3 } },
  ];

  test("pitfall 12: storeRawEvents: false leaves RAW events and rawEvent fields out", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath, storeRawEvents: false });
    const emitted = await runToEnd(runner, "thread", "run", emitting(raw));
    // Subscribers of the live run get these events too.
    expect(emitted.slice(1, -1)).toEqual(raw);
    expect(valueIn(dbPath, "SELECT events FROM agent_runs")).not.toMatch(/chunk|raw/i);
    expect(spokenIn(await replayOf(runner, "thread"))).toBe("said");
  });

  test("pitfall 12: RAW events and rawEvent fields are stored by default", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    await runToEnd(runner, "thread", "run", emitting(raw));
    expect(eventsOf(runRows(dbPath, "thread")[0]).slice(1, -1)).toEqual(raw);
  });
});

describe("an agent that fails", () => {
  const throwing = (message: string): RunnableAgent => ({
    runAgent: () => Promise.reject(new Error(message)),
    abortRun() {},
  });

  test("pitfall 17: stores no run when it throws before its first event", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    expect(await runToEnd(runner, "thread", "run", throwing("no such model"))).toMatchObject([
      { type: "RUN_ERROR", message: "no such model", code: "INCOMPLETE_STREAM" },
    ]);
    expect(runRows(dbPath, "thread")).toEqual([]);
    expect(await replayOf(runner, "thread")).toEqual([]);
    expect(await runner.isRunning({ threadId: "thread" })).toBe(false);
    // Even its run id can be used again.
    expect(typesOf(await runToEnd(runner, "thread", "run", answeringAgent()))).toContain(
      "RUN_FINISHED",
    );
  });

  test("pitfall 22: does not break the replay of the thread", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    await runToEnd(runner, "thread", "run-1", answeringAgent());
    const failing: RunnableAgent = {
      async runAgent(input, { onEvent }) {
        const emit = (event: ScriptEvent) => onEvent({ event: event as unknown as BaseEvent });
        emit(started(input));
        emit({ type: "TEXT_MESSAGE_START", messageId: "half", role: "assistant" });
        emit({ type: "TEXT_MESSAGE_CONTENT", messageId: "half", delta: "half an ans" });
        emit({ type: "TOOL_CALL_START", toolCallId: "call", toolCallName: "search" });
        throw new Error("connection reset");
      },
      abortRun() {},
    };
    const failed = await runToEnd(runner, "thread", "run-2", failing);
    expect(failed.at(-1)).toMatchObject({ type: "RUN_ERROR", message: "connection reset" });
    await verifyWithClients(failed);
    await runToEnd(runner, "thread", "run-3", throwing("no events at all"));
    await runToEnd(runner, "thread", "run-4", answeringAgent());

    const replay = await replayOf(runner, "thread");
    await verifyWithClients(replay);
    parseWithSchemas(replay);
    for (const { messages } of await reduceWithClients(replay)) {
      const ids = (messages as { id: string }[]).map(({ id }) => id);
      expect(ids).toEqual([
        "question-run-1",
        "answer-run-1",
        "question-run-2",
        "half",
        expect.anything(),
        expect.anything(),
        "question-run-4",
        "answer-run-4",
      ]);
    }
  });
});
