import "../support/leak-guard.ts";
import { describe, expect, test } from "vitest";
import { parseWithSchemas, reduceWithClients, verifyWithClients } from "../events/clients.ts";
import { eventsOf, runRows } from "../support/database-file.ts";
import {
  openRunner,
  replayOf,
  runIdsIn,
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
  scriptedAgent,
  started,
  text,
} from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const threadId = "thread";

describe("stopping", () => {
  test("pitfall 4: an agent that ignores its abort is cut off, and the thread goes on", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath, stopTimeoutMs: 1 });
    const talks = Promise.withResolvers<void>();
    const mayGoOn = Promise.withResolvers<void>();
    const over = Promise.withResolvers<void>();
    const deaf = scriptedAgent(async function* ({ input }) {
      yield started(input);
      yield { type: "TEXT_MESSAGE_START", messageId: "m", role: "assistant" };
      yield { type: "TEXT_MESSAGE_CONTENT", messageId: "m", delta: "in time" };
      talks.resolve();
      await mayGoOn.promise;
      yield { type: "TEXT_MESSAGE_CONTENT", messageId: "m", delta: "too late" };
      yield finished(input);
      over.resolve();
    });
    const run = watch(runner.run({ threadId, agent: deaf, input: inputOf(threadId, "deaf") }));
    await talks.promise;
    expect(await runner.stop({ threadId })).toBe(true);
    expect(typesOf(await run.done).slice(-2)).toEqual(["TEXT_MESSAGE_END", "RUN_FINISHED"]);

    const next = heldAgent();
    const nextRun = watch(runner.run({ threadId, agent: next, input: inputOf(threadId, "next") }));
    await next.halfway;
    mayGoOn.resolve();
    await over.promise;
    next.release();
    expect(spokenIn(await nextRun.done)).toBe("first half, second half");
    expect(spokenIn(run.events)).toBe("in time");
    expect(runRows(dbPath, threadId).map((row) => spokenIn(eventsOf(row)))).toEqual([
      "in time",
      "first half, second half",
    ]);
  });

  test("pitfall 6: the RUN_FINISHED of a stopped run has thread and run id, and later turns are there after a reload", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    const agent = heldAgent();
    const run = watch(runner.run({ threadId, agent, input: inputOf(threadId, "stopped") }));
    await agent.halfway;
    expect(await runner.stop({ threadId })).toBe(true);
    const end = { type: "RUN_FINISHED", threadId, runId: "stopped" };
    expect((await run.done).at(-1)).toEqual(end);
    expect(eventsOf(runRows(dbPath, threadId)[0]).at(-1)).toEqual(end);
    await runToEnd(runner, threadId, "second", answeringAgent());
    await runToEnd(runner, threadId, "third", answeringAgent());

    const replay = await replayOf(runner, threadId);
    parseWithSchemas(replay);
    await verifyWithClients(replay);
    for (const { messages } of await reduceWithClients(replay)) {
      expect((messages as { content: unknown }[]).map(({ content }) => content)).toEqual([
        "text of question-stopped",
        "first half, ",
        "text of question-second",
        "answer to second",
        "text of question-third",
        "answer to third",
      ]);
    }
  });

  test("pitfall 8: open parts inside a step or reasoning are closed before RUN_FINISHED", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const open = Promise.withResolvers<void>();
    const agent = scriptedAgent(async function* ({ input, aborted }) {
      yield started(input);
      yield { type: "STEP_STARTED", stepName: "research" };
      yield { type: "REASONING_START", messageId: "r" };
      yield { type: "REASONING_MESSAGE_START", messageId: "r", role: "reasoning" };
      yield { type: "REASONING_MESSAGE_CONTENT", messageId: "r", delta: "let me think" };
      yield { type: "TOOL_CALL_START", toolCallId: "call", toolCallName: "search" };
      yield { type: "TEXT_MESSAGE_START", messageId: "m", role: "assistant" };
      open.resolve();
      await aborted;
    });
    const run = watch(runner.run({ threadId, agent, input: inputOf(threadId, "run") }));
    await open.promise;
    expect(await runner.stop({ threadId })).toBe(true);
    const emitted = await run.done;
    expect(typesOf(emitted).slice(7)).toEqual([
      "TEXT_MESSAGE_END",
      "TOOL_CALL_END",
      "TOOL_CALL_RESULT",
      "REASONING_MESSAGE_END",
      "REASONING_END",
      "STEP_FINISHED",
      "RUN_FINISHED",
    ]);
    await verifyWithClients(emitted);
    await verifyWithClients(await replayOf(runner, threadId));
  });

  test("pitfall 15: a run that was told to stop holds its thread until its agent is done", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    const halfway = Promise.withResolvers<void>();
    const mayEnd = Promise.withResolvers<void>();
    const slow = scriptedAgent(async function* ({ input, aborted }) {
      yield started(input);
      halfway.resolve();
      await aborted;
      await mayEnd.promise;
      yield* text("last words", "last words");
    });
    const stopped = watch(runner.run({ threadId, agent: slow, input: inputOf(threadId, "slow") }));
    await halfway.promise;
    expect(await runner.stop({ threadId })).toBe(true);
    expect(await runner.isRunning({ threadId })).toBe(false);
    const early = answeringAgent();
    const runEarly = () =>
      runner.run({ threadId, agent: early, input: inputOf(threadId, "early") });
    expect(runEarly).toThrow(new Error("Thread already running"));
    expect(early.inputs).toEqual([]);

    mayEnd.resolve();
    expect(spokenIn(await stopped.done)).toBe("last words");
    const next = heldAgent();
    const nextRun = watch(runner.run({ threadId, agent: next, input: inputOf(threadId, "next") }));
    await next.halfway;
    // The first run ended long ago, and the second run lost no event by that.
    expect(await runner.isRunning({ threadId })).toBe(true);
    next.release();
    expect((await nextRun.done).at(-1)).toEqual(finished({ threadId, runId: "next" }));
    expect(next.aborts()).toBe(0);
    expect(runRows(dbPath, threadId).map((row) => row.run_id)).toEqual(["slow", "next"]);
  });

  test("pitfall 16: stop with the id of an earlier run does not stop a newer run", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    await runToEnd(runner, threadId, "old", answeringAgent());
    const agent = heldAgent();
    const run = watch(runner.run({ threadId, agent, input: inputOf(threadId, "new") }));
    await agent.halfway;
    expect(await runner.stop({ threadId, runId: "old" })).toBe(false);
    expect(agent.aborts()).toBe(0);
    expect(await runner.isRunning({ threadId })).toBe(true);
    expect(await runner.stop({ threadId, runId: "new" })).toBe(true);
    expect(agent.aborts()).toBe(1);
    expect((await run.done).at(-1)).toEqual(finished({ threadId, runId: "new" }));
  });
});

describe("pitfall 19: a run gets no events of the run that it replaces", () => {
  for (const onConcurrentRun of ["enqueue", "supersede"] as const) {
    test(`pitfall 19: with onConcurrentRun ${onConcurrentRun}`, async () => {
      const runner = openRunner({ dbPath: tempDatabase(), onConcurrentRun });
      const dying = heldAgent();
      const input = inputOf(threadId, "dying");
      const dyingRun = watch(runner.run({ threadId, agent: dying, input }));
      await dying.halfway;
      if (onConcurrentRun === "enqueue") await runner.stop({ threadId });
      const next = watch(
        runner.run({ threadId, agent: answeringAgent(), input: inputOf(threadId, "next") }),
      );
      expect(runIdsIn(await next.done)).toEqual(["next"]);
      expect(spokenIn(next.events)).toBe("answer to next");
      expect(runIdsIn(await dyingRun.done)).toEqual(["dying"]);
      expect(spokenIn(dyingRun.events)).toBe("first half, ");
    });
  }

  test("pitfall 19: a connect that follows the replaced run gets no events of the next run", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const dying = heldAgent();
    runner.run({ threadId, agent: dying, input: inputOf(threadId, "dying") });
    await dying.halfway;
    const follower = watch(runner.connect({ threadId }));
    await follower.until(({ delta }) => delta === "first half, ");
    await runner.stop({ threadId });
    expect(runIdsIn(await follower.done)).toEqual(["dying"]);
    await runToEnd(runner, threadId, "next", answeringAgent());
    expect(runIdsIn(follower.events)).toEqual(["dying"]);
    expect(runIdsIn(await replayOf(runner, threadId))).toEqual(["dying", "next"]);
  });
});
