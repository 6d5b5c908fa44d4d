import "../support/leak-guard.ts";
import { setTimeout as delay, setImmediate as nextTask } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { EVERY_RESOURCE, type SqliteAgentRunner } from "../../src/index.ts";
import {
  annsThread,
  as,
  failingAtOnce,
  NOT_FOUND,
  OTHERS,
  POLICIES,
  replayAs,
  runAs,
  start,
  type Who,
} from "../support/anns-thread.ts";
import {
  collect,
  openRunner,
  replayOf,
  runIdsIn,
  runToEnd,
  spokenIn,
  watch,
} from "../support/open-runner.ts";
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

const ids = { threadId: "t", runId: "live" };

describe("another's thread", () => {
  test.each(POLICIES)("cannot be run on, and its run goes on: %s", async (onConcurrentRun) => {
    const { runner, live, finish } = await annsThread({ onConcurrentRun });
    for (const who of OTHERS) {
      const { agent, done } = start(runner, who, "stolen");
      expect(await done).toEqual(NOT_FOUND);
      expect(agent.isStarted()).toBe(false);
    }
    expect(live.agent.aborts()).toBe(0);
    expect((await finish()).at(-1)).toMatchObject({ type: "RUN_FINISHED" });
    for (const who of OTHERS) expect(await runAs(runner, who, "stolen")).toEqual(NOT_FOUND);
    expect(runIdsIn(await replayAs(runner, "ann"))).toEqual(["stored", "live"]);
  });

  test("is like an unknown one for connect, isRunning and stop", async () => {
    const { runner, live, finish } = await annsThread();
    const look = async (who: Who, threadId: string) => ({
      replay: await replayAs(runner, who, threadId),
      last: await as(who, () =>
        collect(runner.connect({ threadId, headers: { "x-replay-runs": "1" } })),
      ),
      isRunning: await as(who, () => runner.isRunning({ threadId })),
      stopped: await as(who, () => runner.stop({ threadId })),
      stoppedRun: await as(who, () => runner.stop({ threadId, runId: "live" })),
    });
    for (const who of OTHERS) expect(await look(who, "t")).toEqual(await look(who, "unknown"));
    expect(live.agent.aborts()).toBe(0);
    expect(await as("ann", () => runner.isRunning({ threadId: "t" }))).toBe(true);
    await finish();
    for (const who of OTHERS) expect(await look(who, "t")).toEqual(await look(who, "unknown"));
  });

  test("is not followed by a connect that was made before its first run", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const early = OTHERS.map((who) => as(who, () => runner.connect({ threadId: "t" })));
    const live = start(runner, "ann", "live");
    const earlier = early.map((stream) => watch(stream));
    await live.agent.started;
    const later = early.map((stream) => watch(stream));
    live.agent.emit(started(ids), finished(ids));
    live.agent.finish();
    await live.done;
    for (const { done } of [...earlier, ...later]) expect(await done).toEqual([]);
  });

  test("has a run of its own that cannot be seen while others wait or are refused", async () => {
    const { runner, live, finish } = await annsThread({ onConcurrentRun: "enqueue" });
    const waiting = start(runner, "ann", "waiting");
    for (const who of OTHERS) {
      expect(await start(runner, who, "waiting").done).toEqual(NOT_FOUND);
      expect(await as(who, () => runner.stop({ threadId: "t", runId: "waiting" }))).toBe(false);
    }
    expect(live.agent.aborts()).toBe(0);
    await finish();
    await waiting.agent.started;
    waiting.agent.finish();
    await waiting.done;
  });

  test("takes no turn of the event loop for a run that is refused for good", async () => {
    const { runner, finish } = await annsThread({ onConcurrentRun: "enqueue" });
    expect(await start(runner, "bob", "stolen").done).toEqual(NOT_FOUND);
    const { batches } = runner.stats();
    for (let at = 0; at < 20; at++) await nextTask();
    expect(runner.stats().batches - batches).toBeLessThan(3);
    await finish();
  });

  test("does not tell which messages it has", async () => {
    const { runner, finish } = await annsThread();
    await finish();
    const messages = ["question-stored", "answer-stored", "question-live"];
    const agent = answeringAgent();
    const refused = await as("bob", () =>
      collect(runner.run({ threadId: "t", agent, input: inputOf("t", "probe", messages) })),
    );
    expect(refused).toEqual(NOT_FOUND);
    const own = await as("bob", () =>
      collect(runner.run({ threadId: "b", agent, input: inputOf("b", "probe", messages) })),
    );
    expect(own[0]?.input).toMatchObject({ messages: messages.map((id) => ({ id })) });
  });

  test("stays another's when the file is opened again", async () => {
    const { dbPath, runner, finish } = await annsThread();
    await finish();
    await runner.close();
    const again = openRunner({ dbPath });
    for (const who of OTHERS) {
      expect(await replayAs(again, who)).toEqual([]);
      expect(await runAs(again, who, "stolen")).toEqual(NOT_FOUND);
    }
    expect(runIdsIn(await replayAs(again, "ann"))).toEqual(["stored", "live"]);
  });

  test.each(["optional", "required"] as const)(
    "is another's for a second runner on the file with resources: %s",
    async (resources) => {
      const { dbPath, live, finish } = await annsThread();
      const other = openRunner({ dbPath, resources, onConcurrentRun: "supersede" });
      for (const who of ["bob", ...(resources === "optional" ? [null] : [])]) {
        expect(await runAs(other, who, "stolen")).toEqual(NOT_FOUND);
        expect(await replayAs(other, who)).toEqual([]);
        expect(await as(who, () => other.isRunning({ threadId: "t" }))).toBe(false);
        expect(await as(who, () => other.stop({ threadId: "t" }))).toBe(false);
      }
      expect(live.agent.aborts()).toBe(0);
      const followed = as("ann", () => watch(other.connect({ threadId: "t" })));
      await finish();
      expect(spokenIn(await followed.done)).toContain("for ann alone");
    },
  );

  test("is not that of a resource and a thread whose ids are the same when they are joined", async () => {
    const runner = openRunner({ dbPath: tempDatabase(), onConcurrentRun: "reject" });
    const pairs = [
      ["a", "bc"],
      ["ab", "c"],
      ["a\0", "b"],
      ["1:", "abc"],
      [null, "1:abc"],
      [null, ":1:abc"],
    ] as const;
    const runs = pairs.map(([who, threadId]) => start(runner, who, "r", threadId));
    for (const [at, { agent, done }] of runs.entries()) {
      await agent.started;
      agent.emit(started({ threadId: pairs[at]?.[1] ?? "", runId: "r" }));
      agent.finish();
      expect((await done)[0]).toMatchObject({ type: "RUN_STARTED" });
    }
  });
});

describe("the first run of a thread", () => {
  test("gives it to one of two resources that ask at once, in 200 rounds", async () => {
    const runner = openRunner({ dbPath: tempDatabase(), onConcurrentRun: "enqueue" });
    const winners = new Set<Who>();
    for (let round = 0; round < 200; round++) {
      const threadId = `t${round}`;
      const two: Who[] = round % 3 === 0 ? ["ann", null] : ["ann", "bob"];
      if (round % 2 === 1) two.reverse();
      const [first = [], second = []] = await Promise.all(
        two.map((who) => runAs(runner, who, `of ${who}`, threadId)),
      );
      const wins = first.at(-1)?.type === "RUN_FINISHED";
      expect(wins ? second : first).toEqual(NOT_FOUND);
      const [winner = null, loser = null] = wins ? two : two.toReversed();
      winners.add(winner);
      expect(await replayAs(runner, loser, threadId)).toEqual([]);
      expect(runIdsIn(await replayAs(runner, winner, threadId))).toEqual([`of ${winner}`]);
    }
    expect(winners.size).toBeGreaterThan(1);
  });

  test("gives it to nobody for good when nothing of it is stored", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const silent = failingAtOnce();
    await as("ann", () => runToEnd(runner, "t", "r1", silent));
    expect((await runAs(runner, "bob", "r2")).at(-1)).toMatchObject({ type: "RUN_FINISHED" });
    expect(await runAs(runner, "ann", "r3")).toEqual(NOT_FOUND);
    expect(runIdsIn(await replayAs(runner, "bob"))).toEqual(["r2"]);
  });
});

describe("a run that is not stored", () => {
  const storeRun = ({ runId }: { readonly runId: string }) => !runId.startsWith("unstored");

  test("is refused on another's thread: its agent may know the thread", async () => {
    const { runner, finish } = await annsThread({ storeRun });
    for (const who of OTHERS) {
      const { agent, done } = start(runner, who, "unstored");
      expect(await done).toEqual(NOT_FOUND);
      expect(agent.isStarted()).toBe(false);
    }
    await finish();
    for (const who of OTHERS) expect(await runAs(runner, who, "unstored")).toEqual(NOT_FOUND);
    expect((await runAs(runner, "ann", "unstored")).at(-1)?.type).toBe("RUN_FINISHED");
    for (const who of OTHERS) {
      expect((await runAs(runner, who, "unstored", `of ${who}`)).at(-1)?.type).toBe("RUN_FINISHED");
    }
  });

  test("can be neither seen nor stopped by others", async () => {
    const runner = openRunner({ dbPath: tempDatabase(), storeRun });
    const run = start(runner, "ann", "unstored");
    await run.agent.started;
    for (const who of OTHERS) {
      expect(await as(who, () => runner.isRunning({ threadId: "t" }))).toBe(false);
      expect(await as(who, () => runner.stop({ threadId: "t" }))).toBe(false);
      expect(await replayAs(runner, who)).toEqual([]);
    }
    expect(run.agent.aborts()).toBe(0);
    expect(await as("ann", () => runner.stop({ threadId: "t" }))).toBe(true);
    await run.done;
  });
});

describe("the context of a call", () => {
  test("is that of the run, wherever its agent emits from", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const run = start(runner, "ann", "live");
    await run.agent.started;
    as("bob", () => run.agent.emit(started(ids)));
    const emitted = Promise.withResolvers<void>();
    as(null, () =>
      setTimeout(() => {
        run.agent.emit(...text("m", "from a timer"), finished(ids));
        run.agent.finish();
        emitted.resolve();
      }),
    );
    await emitted.promise;
    await run.done;
    expect(spokenIn(await replayAs(runner, "ann"))).toBe("from a timer");
    for (const who of OTHERS) expect(await replayAs(runner, who)).toEqual([]);
  });

  test("is that of the run's own call when it had to wait for another", async () => {
    const runner = openRunner({ dbPath: tempDatabase(), onConcurrentRun: "enqueue" });
    const seen: unknown[] = [];
    const first = start(runner, "ann", "live");
    await first.agent.started;
    const waiting = scriptedAgent(async function* ({ input }) {
      await delay(0);
      seen.push(await runner.isRunning({ threadId: "t" }));
      seen.push(await runner.isRunning({ threadId: "b" }));
      yield started(input);
      yield finished(input);
    });
    const waited = as("ann", () => runToEnd(runner, "t", "waiting", waiting));
    const other = start(runner, "bob", "r", "b");
    await other.agent.started;
    // It is bob's call in whose turn the first run ends.
    as("bob", () => first.agent.finish());
    await waited;
    expect(seen).toEqual([true, false]);
    other.agent.finish();
    await other.done;
  });

  test("of connect is that in which it was called, whoever subscribes", async () => {
    const { runner, finish } = await annsThread();
    await finish();
    const [anns, bobs] = (["ann", "bob"] as const).map((who) =>
      as(who, () => runner.connect({ threadId: "t" })),
    );
    if (anns === undefined || bobs === undefined) throw new Error("no streams");
    expect(runIdsIn(await as("bob", () => collect(anns)))).toEqual(["stored", "live"]);
    expect(await as("ann", () => collect(bobs))).toEqual([]);
  });
});

describe("the stored events of a thread", () => {
  test("are those that the caller may see, whoever iterates over them", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    await runAs(runner, "ann", "first");
    const ofAnn = as("ann", () => runner.threads.events("t"));
    const ofNobody = as(null, () => runner.threads.events("t"));
    const typesIn = async (events: AsyncIterable<{ readonly type: string }>) => {
      const types: string[] = [];
      for await (const { type } of events) types.push(type);
      return types;
    };
    expect(await as("bob", () => typesIn(ofAnn))).toContain("RUN_FINISHED");
    expect(await as("ann", () => typesIn(ofNobody))).toEqual([]);
  });
});

describe('resources: "required"', () => {
  const CODE = "RESOURCE_REQUIRED";

  test("refuses every call outside any withResource", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath, resources: "required" });
    const agent = answeringAgent();
    const refused = [expect.objectContaining({ type: "RUN_ERROR", code: CODE })];
    expect(await collect(runner.run({ threadId: "t", agent, input: inputOf("t", "r") }))).toEqual(
      refused,
    );
    expect(agent.inputs).toEqual([]);
    expect(await replayOf(runner, "t")).toEqual(refused);
    await expect(runner.isRunning({ threadId: "t" })).rejects.toMatchObject({ code: CODE });
    await expect(runner.stop({ threadId: "t" })).rejects.toMatchObject({ code: CODE });
    expect((await runAs(runner, "ann", "r")).at(-1)).toMatchObject({ type: "RUN_FINISHED" });
    await runner.close();
    const script = openRunner({ dbPath });
    const { threads } = await as(EVERY_RESOURCE, () => script.threads.list());
    expect(threads.map(({ id, runs }) => [id, runs])).toEqual([["t", 1]]);
  });

  test("refuses a run that is not stored, too", async () => {
    const runner = openRunner({
      ...{ dbPath: tempDatabase(), resources: "required" },
      storeRun: () => false,
    });
    const agent = answeringAgent();
    const input = inputOf("t", "r");
    const events = await collect(runner.run({ threadId: "t", agent, input }));
    expect(events).toMatchObject([{ type: "RUN_ERROR", code: CODE }]);
    expect(agent.inputs).toEqual([]);
  });
});

describe("EVERY_RESOURCE", () => {
  test("sees and stops all threads, and runs on those of nobody", async () => {
    const { runner, live, finish } = await annsThread();
    expect(spokenIn(await collectUntilNow(runner))).toContain("for ann alone");
    expect(await as(EVERY_RESOURCE, () => runner.isRunning({ threadId: "t" }))).toBe(true);
    expect(await as(EVERY_RESOURCE, () => runToEnd(runner, "t", "r", answeringAgent()))).toEqual(
      NOT_FOUND,
    );
    const mine = as(EVERY_RESOURCE, () => runToEnd(runner, "mine", "r", answeringAgent()));
    expect((await mine).at(-1)).toMatchObject({ type: "RUN_FINISHED" });
    expect(runIdsIn(await replayAs(runner, null, "mine"))).toEqual(["r"]);
    expect(await as(EVERY_RESOURCE, () => runner.stop({ threadId: "t" }))).toBe(true);
    expect(live.agent.aborts()).toBe(1);
    await live.done;
    await finish();
  });

  async function collectUntilNow(runner: SqliteAgentRunner): Promise<readonly ScriptEvent[]> {
    const followed = as(EVERY_RESOURCE, () => watch(runner.connect({ threadId: "t" })));
    await followed.until(({ type }) => type === "TEXT_MESSAGE_END");
    await followed.until(({ messageId }) => messageId === "m");
    return [...followed.events];
  }
});
