import "../support/leak-guard.ts";
import type { BaseEvent } from "@ag-ui/core";
import { describe, expect, test } from "vitest";
import type { RunnableAgent } from "../../src/index.ts";
import { parseWithSchemas, reduceWithClients, verifyWithClients } from "../events/clients.ts";
import { runRows } from "../support/database-file.ts";
import { asReplayed, openRunner, replayOf, runToEnd, typesOf } from "../support/open-runner.ts";
import {
  answeringAgent,
  type ScriptEvent,
  scriptedAgent,
  started,
} from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const failing = (thrown: unknown): RunnableAgent => ({
  runAgent: () => Promise.reject(thrown),
  abortRun() {},
});

describe("an agent that fails before it emitted anything", () => {
  const atOnce: readonly (readonly [how: string, agent: RunnableAgent])[] = [
    ["rejects", failing(new Error("no key"))],
    [
      "throws in the call",
      {
        runAgent() {
          throw new Error("no key");
        },
        abortRun() {},
      },
    ],
  ];

  test.each(atOnce)("and %s: its message in RUN_ERROR, and no run is stored", async (_, agent) => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    const events = await runToEnd(runner, "t", "r", agent);
    expect(events).toEqual([{ type: "RUN_ERROR", message: "no key", code: "INCOMPLETE_STREAM" }]);
    expect(runRows(dbPath, "t")).toEqual([]);
    expect(await replayOf(runner, "t")).toEqual([]);
    expect(await runner.isRunning({ threadId: "t" })).toBe(false);
  });

  test("frees its thread and its run id for another run", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    await runToEnd(runner, "t", "r", failing(new Error("no key")));
    const events = await runToEnd(runner, "t", "r", answeringAgent());
    expect(events.at(-1)?.type).toBe("RUN_FINISHED");
  });

  test("an agent that ends without an event stores no run either", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    const events = await runToEnd(
      runner,
      "t",
      "r",
      scriptedAgent(() => []),
    );
    expect(typesOf(events)).toEqual(["RUN_ERROR"]);
    expect(runRows(dbPath, "t")).toEqual([]);
  });
});

describe("an agent that fails in the middle", () => {
  const halfway = (thrown: unknown) =>
    scriptedAgent(function* ({ input }) {
      yield started(input);
      yield { type: "TEXT_MESSAGE_START", messageId: "m", role: "assistant" };
      yield { type: "TEXT_MESSAGE_CONTENT", messageId: "m", delta: "so far" };
      throw thrown;
    });

  test("gives its message in RUN_ERROR, then the stream completes; never an error of the Observable", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    // `collect` rejects if the Observable ends in an error.
    const events = await runToEnd(runner, "t", "r", halfway(new Error("lost the model")));
    expect(events.at(-1)).toEqual({
      type: "RUN_ERROR",
      message: "lost the model",
      code: "INCOMPLETE_STREAM",
    });
    await verifyWithClients(events);
  });

  test("keeps the events before the failure", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const events = await runToEnd(runner, "t", "r", halfway(new Error("lost the model")));
    expect(await replayOf(runner, "t")).toEqual(asReplayed(events));
  });

  test.each([
    ["a string", "just words", "just words"],
    ["undefined", undefined, "undefined"],
    ["an object", { toString: (): string => "an object's words" }, "an object's words"],
    ["an error without a message", new Error(""), "Run ended without emitting a terminal event"],
  ])("and throws %s: RUN_ERROR with a non-empty message", async (_, thrown, message) => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const events = await runToEnd(runner, "t", "r", halfway(thrown));
    expect(events.at(-1)).toMatchObject({ type: "RUN_ERROR", message });
  });

  test.each([
    ["an object without a prototype", Object.create(null)],
    ["an error whose message is no string", Object.assign(new Error(), { message: { a: 1 } })],
    [
      "an error whose message throws",
      Object.defineProperty(new Error(), "message", {
        get() {
          throw new Error("no");
        },
      }),
    ],
  ])("and throws %s: the run ends with a message that is a string", async (_, thrown) => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const events = await runToEnd(runner, "t", "r", halfway(thrown));
    expect(events.at(-1)).toMatchObject({ type: "RUN_ERROR", message: expect.any(String) });
    expect(await runner.isRunning({ threadId: "t" })).toBe(false);
  });

  test("does not break the replay of the thread", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    await runToEnd(runner, "thread", "run-1", answeringAgent());
    const halfAgent: RunnableAgent = {
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
    const failed = await runToEnd(runner, "thread", "run-2", halfAgent);
    expect(failed.at(-1)).toMatchObject({ type: "RUN_ERROR", message: "connection reset" });
    await verifyWithClients(failed);
    await runToEnd(runner, "thread", "run-3", failing(new Error("no events at all")));
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
