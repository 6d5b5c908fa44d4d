import "../support/leak-guard.ts";
import { describe, expect, test } from "vitest";
import { reduceWithClients, verifyWithClients } from "../events/clients.ts";
import { valueIn } from "../support/database-file.ts";
import { closing, delta, isA, opening, says } from "../support/message-events.ts";
import {
  asReplayed,
  openRunner,
  replayOf,
  runIdsIn,
  runToEnd,
  spokenIn,
  typesOf,
  watch,
} from "../support/open-runner.ts";
import { puppetAgent } from "../support/puppet-agent.ts";
import { RunnerProcess } from "../support/runner-process.ts";
import {
  answeringAgent,
  finished,
  inputOf,
  type ScriptEvent,
  started,
  text,
} from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const ids = { threadId: "t", runId: "r" };

describe("a run of another process", () => {
  test("is followed live: each event arrives before the next one is emitted", async () => {
    const dbPath = tempDatabase();
    const owner = await RunnerProcess.open({ dbPath });
    const run = owner.run("t", "r");
    await run.emit(started(ids), opening("m"));
    const here = openRunner({ dbPath });
    const follower = watch(here.connect({ threadId: "t" }));
    for (let at = 0; at < 10; at++) {
      await run.emit(delta("m", `word ${at} `));
      await follower.until(says(`word ${at} `));
    }
    await run.emit(closing("m"), finished(ids));
    await follower.until(isA("RUN_FINISHED"));
    await run.finish();
    expect(await follower.done).toEqual(asReplayed(await run.done));
    await verifyWithClients(follower.events);
  });

  test("follows the thread's history, for early and late followers", async () => {
    const dbPath = tempDatabase();
    const owner = await RunnerProcess.open({ dbPath, lingerMs: 0 });
    const here = openRunner({ dbPath });
    await runToEnd(here, "t", "before", answeringAgent());
    const history = await replayOf(here, "t");
    const run = owner.run("t", "r");
    await run.emit(started(ids), opening("m"));
    await owner.flush();
    const followers = [watch(here.connect({ threadId: "t" }))];
    for (const word of ["one ", "two ", "three "]) {
      await followers[0]?.until(isA("RUN_STARTED"));
      await run.emit(delta("m", word));
      // Some clients read this word from the journal, others get it after a notice.
      followers.push(watch(here.connect({ threadId: "t" })));
      await followers[0]?.until(says(word));
      followers.push(watch(here.connect({ threadId: "t" })));
    }
    await run.emit(closing("m"), finished(ids));
    await run.finish();
    const emitted = await run.done;
    const after = watch(here.connect({ threadId: "t" }));
    for (const follower of followers) {
      const events = await follower.done;
      expect(events.slice(0, history.length)).toEqual(history);
      expect(events.slice(history.length)).toEqual(asReplayed(emitted));
      await verifyWithClients(events);
    }
    expect(runIdsIn(await after.done)).toEqual(["before", "r"]);
    expect(spokenIn(await after.done)).toBe("answer to beforeone two three ");
  });

  test("of many events arrives whole and in order", async () => {
    const EVENTS = 20_000;
    const dbPath = tempDatabase();
    const owner = await RunnerProcess.open({ dbPath, lingerMs: 1 });
    const run = owner.run("t", "r");
    await run.emit(started(ids));
    await owner.flush();
    const here = openRunner({ dbPath });
    const early = watch(here.connect({ threadId: "t" }));
    const late: ReturnType<typeof watch>[] = [];
    for (let from = 0; from < EVENTS; from += 1000) {
      // Events that do not merge, so that each event arrives alone.
      const notes = Array.from({ length: 1000 }, (_, at) => ({
        type: "CUSTOM",
        name: "n",
        value: from + at,
      }));
      await run.emit(...notes);
      if (from % 5000 === 0) late.push(watch(here.connect({ threadId: "t" })));
    }
    await run.emit(finished(ids));
    await run.finish();
    const numbers = Array.from({ length: EVENTS }, (_, at) => at);
    for (const follower of [early, ...late]) {
      const events = await follower.done;
      expect(events.slice(1, -1).map(({ value }) => value)).toEqual(numbers);
      expect(events.at(-1)?.type).toBe("RUN_FINISHED");
    }
  });

  test("that ends before it was journaled is replayed as it is stored", async () => {
    const dbPath = tempDatabase();
    const owner = await RunnerProcess.open({ dbPath, lingerMs: 60_000 });
    const run = owner.run("t", "r");
    await run.emit(started(ids), ...text("m", "never in the journal"));
    const here = openRunner({ dbPath });
    const follower = watch(here.connect({ threadId: "t" }));
    // The follower has found the run, but no events of it: this request was made after its first look.
    expect(await here.isRunning({ threadId: "t" })).toBe(true);
    expect(await here.isRunning({ threadId: "t" })).toBe(true);
    expect(follower.events).toEqual([]);
    expect(valueIn(dbPath, "SELECT count(*) FROM run_events")).toBe(0);
    await run.emit(finished(ids));
    await run.finish();
    const events = await follower.done;
    expect(runIdsIn(events)).toEqual(["r"]);
    expect(spokenIn(events)).toBe("never in the journal");
    expect(events.at(-1)?.type).toBe("RUN_FINISHED");
    await verifyWithClients(events);
  });

  test("whose agent failed at once shows no events", async () => {
    const dbPath = tempDatabase();
    const owner = await RunnerProcess.open({ dbPath });
    const run = owner.run("t", "r");
    await run.started();
    const here = openRunner({ dbPath });
    const follower = watch(here.connect({ threadId: "t" }));
    expect(await here.isRunning({ threadId: "t" })).toBe(true);
    await run.fail("no model");
    expect(await follower.done).toEqual([]);
    expect((await run.done).at(-1)).toMatchObject({ type: "RUN_ERROR", message: "no model" });
  });

  test("that fails ends in the same way as for its own subscriber", async () => {
    const dbPath = tempDatabase();
    const owner = await RunnerProcess.open({ dbPath });
    const run = owner.run("t", "r");
    await run.emit(started(ids), opening("m"), delta("m", "I was about to"));
    const here = openRunner({ dbPath });
    const follower = watch(here.connect({ threadId: "t" }));
    await follower.until(says("I was about to"));
    await run.fail("the model is gone");
    expect(await follower.done).toEqual(asReplayed(await run.done));
    expect(follower.events.at(-1)).toMatchObject({
      type: "RUN_ERROR",
      message: "the model is gone",
    });
    await verifyWithClients(follower.events);
  });

  test("with reasoning, tool calls and state gives the same conversation", async () => {
    const dbPath = tempDatabase();
    const owner = await RunnerProcess.open({ dbPath, lingerMs: 0 });
    const parts: ScriptEvent[] = [
      started(ids),
      { type: "STATE_SNAPSHOT", snapshot: { plan: [] } },
      { type: "REASONING_START", messageId: "th" },
      { type: "REASONING_MESSAGE_START", messageId: "th", role: "reasoning" },
      { type: "REASONING_MESSAGE_CONTENT", messageId: "th", delta: "hm, " },
      { type: "REASONING_MESSAGE_CONTENT", messageId: "th", delta: "a tool" },
      { type: "REASONING_MESSAGE_END", messageId: "th" },
      { type: "REASONING_END", messageId: "th" },
      { type: "STEP_STARTED", stepName: "search" },
      { type: "TOOL_CALL_START", toolCallId: "c", toolCallName: "search" },
      { type: "TOOL_CALL_ARGS", toolCallId: "c", delta: '{"q":' },
      { type: "TOOL_CALL_ARGS", toolCallId: "c", delta: '"x"}' },
      { type: "TOOL_CALL_END", toolCallId: "c" },
      { type: "STATE_DELTA", delta: [{ op: "add", path: "/plan/-", value: "searched" }] },
      { type: "TOOL_CALL_RESULT", messageId: "c-result", toolCallId: "c", content: "found" },
      { type: "STEP_FINISHED", stepName: "search" },
      ...text("m", "here it is"),
      { type: "STATE_DELTA", delta: [{ op: "add", path: "/plan/-", value: "said" }] },
      finished(ids),
    ];
    const run = owner.run("t", "r");
    await run.emit(...parts.slice(0, 6));
    const here = openRunner({ dbPath });
    const followers = [watch(here.connect({ threadId: "t" }))];
    for (const part of parts.slice(6)) {
      await run.emit(part);
      await owner.flush();
      followers.push(watch(here.connect({ threadId: "t" })));
    }
    await run.finish();
    const conversation = await reduceWithClients(await run.done);
    for (const follower of followers) {
      const events = await follower.done;
      await verifyWithClients(events);
      expect(await reduceWithClients(events)).toEqual(conversation);
    }
    expect(conversation[0]?.state).toEqual({ plan: ["searched", "said"] });
  });

  test("is followed by several processes at once", async () => {
    const dbPath = tempDatabase();
    const here = openRunner({ dbPath });
    const agent = puppetAgent();
    const run = watch(here.run({ threadId: "t", agent, input: inputOf("t", "r") }));
    await agent.started;
    agent.emit(started(ids), opening("m"));
    const others = await Promise.all([
      RunnerProcess.open({ dbPath }),
      RunnerProcess.open({ dbPath }),
    ]);
    const followers = others.map((other) => other.connect("t"));
    for (const word of ["one ", "two "]) {
      agent.emit(delta("m", word));
      await Promise.all(followers.map((follower) => follower.until(says(word))));
    }
    agent.emit(closing("m"), finished(ids));
    agent.finish();
    for (const follower of followers)
      expect(await follower.done).toEqual(asReplayed(await run.done));
  });

  test("is replayed before the run of this process that waits for it", async () => {
    const dbPath = tempDatabase();
    const owner = await RunnerProcess.open({ dbPath });
    const run = owner.run("t", "r");
    await run.emit(started(ids), opening("m"), delta("m", "theirs"));
    const here = openRunner({ dbPath, onConcurrentRun: "enqueue" });
    const waiting = watch(
      here.run({ threadId: "t", agent: answeringAgent(), input: inputOf("t", "own") }),
    );
    const follower = watch(here.connect({ threadId: "t" }));
    await follower.until(says("theirs"));
    expect(waiting.events).toEqual([]);
    await run.emit(closing("m"), finished(ids));
    await run.finish();
    const events = await follower.done;
    expect(events).toEqual(asReplayed([...(await run.done), ...(await waiting.done)]));
    expect(runIdsIn(events)).toEqual(["r", "own"]);
    expect(typesOf(events).filter((type) => type === "RUN_FINISHED")).toHaveLength(2);
    await verifyWithClients(events);
    expect(runIdsIn(await replayOf(here, "t"))).toEqual(["r", "own"]);
  });
});
