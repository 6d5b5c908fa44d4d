import "../support/leak-guard.ts";
import { describe, expect, test } from "vitest";
import { parseWithSchemas, reduceWithClients, verifyWithClients } from "../events/clients.ts";
import {
  collect,
  openRunner,
  replayOf,
  runIdsIn,
  runToEnd,
  spokenIn,
  typesOf,
  watch,
} from "../support/open-runner.ts";
import { puppetAgent } from "../support/puppet-agent.ts";
import {
  answeringAgent,
  finished,
  inputOf,
  type ScriptEvent,
  scriptedAgent,
  started,
  text,
} from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const ids = (runId: string) => ({ threadId: "t", runId });
const request = (runId: string) => ({ threadId: "t", input: inputOf("t", runId) });

describe("connect", () => {
  test("to an unknown thread completes without events", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    expect(await replayOf(runner, "never heard of")).toEqual([]);
  });

  test("shows each run of the thread in order, and no run of another thread", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    for (const runId of ["r1", "r2", "r3"]) await runToEnd(runner, "t", runId, answeringAgent());
    await runToEnd(runner, "t2", "other", answeringAgent());
    const events = await replayOf(runner, "t");
    expect(runIdsIn(events)).toEqual(["r1", "r2", "r3"]);
    expect(spokenIn(events)).toBe("answer to r1answer to r2answer to r3");
    await verifyWithClients(events);
    parseWithSchemas(events);
  });

  test("shows a run compacted: the same messages in fewer events", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const agent = scriptedAgent(function* ({ input }) {
      yield started(input);
      yield* text("m", "a b c d e f g h i j k l m n o p q r s t u v w x y z");
      yield finished(input);
    });
    const live = await runToEnd(runner, "t", "r", agent);
    const replay = await replayOf(runner, "t");
    expect(replay.length).toBeLessThan(live.length / 2);
    expect(await reduceWithClients(replay)).toEqual(await reduceWithClients(live));
  });

  test("gives the same events to every client, at once or later", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    await runToEnd(runner, "t", "r", answeringAgent());
    const stream = runner.connect({ threadId: "t" });
    const [a, b] = await Promise.all([collect(stream), collect(stream)]);
    expect(a).toEqual(b);
    expect(await replayOf(runner, "t")).toEqual(a);
    expect(a).not.toEqual([]);
  });

  test("shows runs that another runner stored in the file before", async () => {
    const dbPath = tempDatabase();
    const first = openRunner({ dbPath });
    await runToEnd(first, "t", "r", answeringAgent());
    const before = await replayOf(first, "t");
    await first.close();
    expect(await replayOf(openRunner({ dbPath }), "t")).toEqual(before);
  });

  test("passes on a history of many pages, and runs and events larger than a page", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const expected: string[] = [];
    for (let index = 0; index < 12; index++) {
      const said = `${index} `.padEnd(index === 7 ? 300_000 : 20_000, "é");
      expected.push(said);
      const agent = scriptedAgent(function* ({ input }) {
        yield started(input);
        yield* text(`m${index}`, said);
        yield { type: "CUSTOM", name: "large", value: "x".repeat(5000) };
        yield finished(input);
      });
      await runToEnd(runner, "t", `r${index}`, agent);
    }
    const events = await replayOf(runner, "t");
    expect(spokenIn(events)).toBe(expected.join(""));
    await verifyWithClients(events);
  });
});

describe("connect while a run is going on", () => {
  test("shows the history, the recorded events of the run, then its live events, then completes", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    await runToEnd(runner, "t", "r1", answeringAgent());
    const agent = puppetAgent();
    const live = watch(runner.run({ ...request("r2"), agent }));
    await agent.started;
    agent.emit(started(ids("r2")), {
      type: "TEXT_MESSAGE_START",
      messageId: "m",
      role: "assistant",
    });
    const joined = watch(runner.connect({ threadId: "t" }));
    await joined.until(({ messageId }) => messageId === "m");
    expect(runIdsIn(joined.events)).toEqual(["r1", "r2"]);
    const seen: ScriptEvent[] = [];
    live.until((event) => event.type === "CUSTOM").then((event) => seen.push(event));
    const custom = { type: "CUSTOM", name: "n", value: 1 };
    agent.emit(custom);
    // In the same tick, the same object.
    expect(joined.events.at(-1)).toBe(custom);
    agent.emit({ type: "TEXT_MESSAGE_END", messageId: "m" }, finished(ids("r2")));
    agent.finish();
    const events = await joined.done;
    expect(events.slice(-live.events.length)).toEqual(live.events);
    await verifyWithClients(events);
  });

  test("has no gap and no duplicate, at whatever event a client connects", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    await runToEnd(runner, "t", "r1", answeringAgent());
    const before = await replayOf(runner, "t");
    const agent = puppetAgent();
    const live = watch(runner.run({ ...request("r2"), agent }));
    const joined = [watch(runner.connect({ threadId: "t" }))];
    await agent.started;
    joined.push(watch(runner.connect({ threadId: "t" })));
    const words = Array.from({ length: 40 }, (_, index) => `${index} `).join("");
    for (const event of [started(ids("r2")), ...text("m", words), finished(ids("r2"))]) {
      agent.emit(event);
      joined.push(watch(runner.connect({ threadId: "t" })));
      // Some clients read the history at once, and some later.
      if (joined.length % 5 === 0) await runner.flush();
    }
    agent.finish();
    joined.push(watch(runner.connect({ threadId: "t" })));
    await Promise.resolve();
    joined.push(watch(runner.connect({ threadId: "t" })));
    await live.done;
    expect(joined.length).toBeGreaterThan(40);
    // A client that reads the history after the run was stored gets the run compacted.
    const expected = merged([...before, ...live.events]);
    for (const { done } of joined) expect(merged(await done)).toEqual(expected);
  });

  test("shows a run once, even if it is stored while the history is read", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const long = scriptedAgent(function* ({ input }) {
      yield started(input);
      yield* text(`m-${input.runId}`, "x".repeat(60_000));
      yield finished(input);
    });
    for (const runId of ["r1", "r2", "r3"]) await runToEnd(runner, "t", runId, long);
    const agent = puppetAgent();
    const live = watch(runner.run({ ...request("r4"), agent }));
    await agent.started;
    const joined = watch(runner.connect({ threadId: "t" }));
    agent.emit(started(ids("r4")), finished(ids("r4")));
    agent.finish();
    await live.done;
    expect(runIdsIn(await joined.done)).toEqual(["r1", "r2", "r3", "r4"]);
    expect(runIdsIn(await replayOf(runner, "t"))).toEqual(["r1", "r2", "r3", "r4"]);
  });

  test("shows a long live run whole, in pieces", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const agent = puppetAgent();
    const live = watch(runner.run({ ...request("r"), agent }));
    await agent.started;
    agent.emit(started(ids("r")));
    for (let index = 0; index < 3000; index++)
      agent.emit({ type: "CUSTOM", name: "n", value: index });
    const joined = watch(runner.connect({ threadId: "t" }));
    await joined.until(() => true);
    expect(joined.events.length).toBeLessThan(live.events.length);
    agent.emit(finished(ids("r")));
    agent.finish();
    expect(await joined.done).toEqual(await live.done);
  });

  test("ends with RUN_FINISHED when the run is stopped", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const agent = puppetAgent();
    runner.run({ ...request("r"), agent });
    await agent.started;
    agent.emit(started(ids("r")));
    const joined = watch(runner.connect({ threadId: "t" }));
    await joined.until(({ type }) => type === "RUN_STARTED");
    await runner.stop({ threadId: "t" });
    expect(typesOf(await joined.done)).toEqual(["RUN_STARTED", "RUN_FINISHED"]);
  });

  test("lets a subscriber leave without affecting the run", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const agent = puppetAgent();
    const live = watch(runner.run({ ...request("r"), agent }));
    await agent.started;
    agent.emit(started(ids("r")));
    const seen: string[] = [];
    const present = Promise.withResolvers<void>();
    const subscription = runner.connect({ threadId: "t" }).subscribe((event) => {
      seen.push((event as unknown as ScriptEvent).type);
      present.resolve();
    });
    await present.promise;
    subscription.unsubscribe();
    agent.emit(finished(ids("r")));
    agent.finish();
    await live.done;
    expect(agent.aborts()).toBe(0);
    expect(seen).toEqual(["RUN_STARTED"]);
  });

  test("does not show a run that failed before its first event", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const agent = puppetAgent();
    const live = watch(runner.run({ ...request("r"), agent }));
    await agent.started;
    const joined = watch(runner.connect({ threadId: "t" }));
    agent.fail(new Error("no key"));
    await live.done;
    await verifyWithClients(await joined.done);
    expect(await replayOf(runner, "t")).toEqual([]);
  });
});

describe("what connect emits passes verifyEvents of both clients", () => {
  const parts: readonly (readonly [what: string, events: readonly ScriptEvent[]])[] = [
    ["a delta without its start", [{ type: "TEXT_MESSAGE_CONTENT", messageId: "m", delta: "a" }]],
    ["an end without its start", [{ type: "TOOL_CALL_END", toolCallId: "c" }]],
    [
      "a message that is never closed",
      [{ type: "TEXT_MESSAGE_START", messageId: "m", role: "assistant" }],
    ],
    ["a step that is never closed", [{ type: "STEP_STARTED", stepName: "s" }]],
    [
      "the same message started twice",
      [
        ...text("m", "a"),
        { type: "TEXT_MESSAGE_START", messageId: "m", role: "assistant" },
        { type: "TEXT_MESSAGE_START", messageId: "m", role: "assistant" },
      ],
    ],
    ["an event of an unknown type", [{ type: "WHO_KNOWS" }]],
    [
      "a delta of state that does not fit",
      [{ type: "STATE_DELTA", delta: [{ op: "replace", path: "/no/such", value: 1 }] }],
    ],
    [
      "events without their fields",
      [{ type: "TEXT_MESSAGE_START" }, { type: "TOOL_CALL_START" }, { type: "STEP_FINISHED" }],
    ],
  ];

  test.each(parts)("after %s", async (_, events) => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const agent = scriptedAgent(function* ({ input }) {
      yield started(input);
      yield* events;
      yield finished(input);
    });
    await runToEnd(runner, "t", "r1", agent);
    await runToEnd(runner, "t", "r2", answeringAgent());
    const replay = await replayOf(runner, "t");
    await verifyWithClients(replay);
    expect(runIdsIn(replay)).toEqual(["r1", "r2"]);
    expect(spokenIn(replay)).toContain("answer to r2");
  });

  test("after a run without RUN_STARTED", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    await runToEnd(
      runner,
      "t",
      "r1",
      scriptedAgent(function* ({ input }) {
        yield* text("m", "no start");
        yield finished(input);
      }),
    );
    await runToEnd(runner, "t", "r2", answeringAgent());
    const replay = await replayOf(runner, "t");
    await verifyWithClients(replay);
    expect(runIdsIn(replay)).toEqual(["r1", "r2"]);
  });
});

/** Consecutive words of one message as one event. */
function merged(events: readonly ScriptEvent[]): ScriptEvent[] {
  const result: ScriptEvent[] = [];
  for (const event of events) {
    const last = result.at(-1);
    const goesOn = last?.type === "TEXT_MESSAGE_CONTENT" && last.type === event.type;
    if (goesOn && last.messageId === event.messageId) {
      result[result.length - 1] = { ...last, delta: `${last.delta}${event.delta}` };
    } else {
      result.push(event);
    }
  }
  return result;
}
