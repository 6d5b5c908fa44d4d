import "../support/leak-guard.ts";
import { describe, expect, test } from "vitest";
import type { OnConcurrentRun } from "../../src/index.ts";
import { verifyWithClients } from "../events/clients.ts";
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
import { ignoreAbort, type PuppetAgent, puppetAgent } from "../support/puppet-agent.ts";
import {
  answeringAgent,
  finished,
  heldAgent,
  inputOf,
  started,
  text,
} from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const threadId = "t";
const ids = (runId: string) => ({ threadId: "t", runId });
const input = (runId: string) => inputOf("t", runId);
const request = (runId: string, agent: PuppetAgent) => ({
  threadId: "t",
  agent,
  input: input(runId),
});

/** A runner whose thread "t" has the run "first", which has emitted one message and waits. */
async function busy(onConcurrentRun: OnConcurrentRun, onAbort?: () => void) {
  const runner = openRunner({ dbPath: tempDatabase(), onConcurrentRun });
  const agent = puppetAgent(onAbort);
  const first = watch(runner.run(request("first", agent)));
  await agent.started;
  agent.emit(started(ids("first")), ...text("m1", "of the first"));
  const end = () => {
    agent.emit(finished(ids("first")));
    agent.finish();
  };
  return { runner, agent, first, end };
}

function play(agent: PuppetAgent, runId: string): void {
  agent.emit(started(ids(runId)), ...text(`m-${runId}`, `of ${runId}`), finished(ids(runId)));
  agent.finish();
}

describe('onConcurrentRun "throw"', () => {
  test('is the default, and throws exactly Error("Thread already running"), at once', async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const agent = puppetAgent();
    runner.run(request("first", agent));
    const second = puppetAgent();
    let thrown: unknown;
    try {
      runner.run(request("second", second));
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(Error);
    expect(Object.getPrototypeOf(thrown)).toBe(Error.prototype);
    expect((thrown as Error).message).toBe("Thread already running");
    await agent.started;
    expect(second.isStarted()).toBe(false);
    agent.finish();
  });

  test("does not affect the first run", async () => {
    const { runner, first, agent, end } = await busy("throw");
    expect(() => runner.run(request("second", puppetAgent()))).toThrow("Thread already running");
    expect(agent.aborts()).toBe(0);
    end();
    expect(typesOf(await first.done).at(-1)).toBe("RUN_FINISHED");
    expect(runIdsIn(await replayOf(runner, "t"))).toEqual(["first"]);
  });

  test("does not affect another thread", async () => {
    const { runner, end } = await busy("throw");
    expect((await runToEnd(runner, "t2", "second", answeringAgent())).at(-1)?.type).toBe(
      "RUN_FINISHED",
    );
    end();
  });
});

describe("a settled run that waits for its commit", () => {
  test("does not block the next run, which is stored after it", async () => {
    const { runner, first, end } = await busy("throw");
    const second = puppetAgent();
    let firstIsStored = false;
    first.done.then(() => {
      firstIsStored = true;
    });
    end();
    // The agent's promise settles in a microtask, but a commit needs a message to another thread.
    await Promise.resolve();
    await Promise.resolve();
    expect(firstIsStored).toBe(false);
    const stream = runner.run(request("second", second));
    await second.started;
    play(second, "second");
    await collect(stream);
    expect(runIdsIn(await replayOf(runner, "t"))).toEqual(["first", "second"]);
  });

  test("counts its messages as seen for the next run", async () => {
    const { runner, end } = await busy("throw");
    end();
    await Promise.resolve();
    await Promise.resolve();
    const agent = answeringAgent();
    const messages = inputOf("t", "second", ["question-first", "m1", "new"]);
    const events = await collect(runner.run({ threadId: "t", agent, input: messages }));
    expect(events[0]?.input).toEqual(inputOf("t", "second", ["new"]));
  });
});

describe('onConcurrentRun "reject"', () => {
  test("gives a stream of one RUN_ERROR, which every client accepts", async () => {
    const { runner, first, end } = await busy("reject");
    const second = puppetAgent();
    const events = await collect(runner.run(request("second", second)));
    expect(events).toEqual([
      { type: "RUN_ERROR", code: "THREAD_ALREADY_RUNNING", message: "Thread already running" },
    ]);
    await verifyWithClients(events);
    expect(second.isStarted()).toBe(false);
    end();
    expect(spokenIn(await first.done)).toBe("of the first");
    expect(runIdsIn(await replayOf(runner, "t"))).toEqual(["first"]);
  });

  test("the thread is free when the run is over", async () => {
    const { runner, first, end } = await busy("reject");
    end();
    await first.done;
    const events = await runToEnd(runner, "t", "second", answeringAgent());
    expect(events.at(-1)?.type).toBe("RUN_FINISHED");
  });
});

describe('onConcurrentRun "supersede"', () => {
  test("aborts the earlier run, whose stream ends in RUN_FINISHED, and starts the new one", async () => {
    const { runner, agent, first } = await busy("supersede");
    const second = puppetAgent();
    const stream = runner.run(request("second", second));
    expect(agent.aborts()).toBe(1);
    expect(first.events.at(-1)).toEqual({ type: "RUN_FINISHED", ...ids("first") });
    await verifyWithClients(await first.done);
    await second.started;
    play(second, "second");
    expect(spokenIn(await collect(stream))).toBe("of second");
  });

  test("discards the events of the earlier run, in the store and for later runs", async () => {
    const { runner, first } = await busy("supersede");
    const second = puppetAgent();
    const stream = runner.run(request("second", second));
    await first.done;
    await second.started;
    play(second, "second");
    await collect(stream);
    const replay = await replayOf(runner, "t");
    expect(runIdsIn(replay)).toEqual(["second"]);
    expect(spokenIn(replay)).toBe("of second");
    const messages = inputOf("t", "third", ["m1", "m-second"]);
    const third = runner.run({ threadId: "t", agent: answeringAgent(), input: messages });
    await verifyWithClients(await collect(third));
    expect((await collect(third))[0]?.input).toEqual(inputOf("t", "third", ["m1"]));
  });

  test("closes the open parts of the earlier run", async () => {
    const { runner, agent, first } = await busy("supersede");
    agent.emit({ type: "TEXT_MESSAGE_START", messageId: "m2", role: "assistant" });
    const second = puppetAgent();
    runner.run(request("second", second));
    expect(typesOf(first.events).slice(-2)).toEqual(["TEXT_MESSAGE_END", "RUN_FINISHED"]);
    await second.started;
    second.finish();
  });

  test.each([
    ["ignores its abort", ignoreAbort],
    [
      "throws in abortRun",
      () => {
        throw new Error("no");
      },
    ],
  ])("does not wait for an agent that %s; its late events are ignored", async (_, onAbort) => {
    const { runner, agent, first } = await busy("supersede", onAbort);
    const second = puppetAgent();
    const stream = runner.run(request("second", second));
    await second.started;
    agent.emit(...text("late", "too late"));
    play(second, "second");
    expect(spokenIn(await collect(stream))).toBe("of second");
    agent.fail(new Error("at last"));
    expect(spokenIn(await first.done)).toBe("of the first");
    expect(spokenIn(await replayOf(runner, "t"))).toBe("of second");
  });

  test("of three runs in one tick, only the last agent executes, and all streams end", async () => {
    const runner = openRunner({ dbPath: tempDatabase(), onConcurrentRun: "supersede" });
    const agents = [puppetAgent(), puppetAgent(), puppetAgent()] as const;
    const streams = agents.map((agent, at) => watch(runner.run(request(`r${at}`, agent))));
    await agents[2].started;
    play(agents[2], "r2");
    for (const { done } of streams) {
      const events = await done;
      expect(typesOf(events).at(-1)).toBe("RUN_FINISHED");
      await verifyWithClients(events);
    }
    expect(agents.map((agent) => agent.isStarted())).toEqual([false, false, true]);
    expect(runIdsIn(await replayOf(runner, "t"))).toEqual(["r2"]);
  });
});

describe('onConcurrentRun "enqueue"', () => {
  test("starts a run when the run before it has settled, in order of arrival", async () => {
    const { runner, agent, first, end } = await busy("enqueue");
    const agents = [puppetAgent(), puppetAgent(), puppetAgent()] as const;
    const streams = agents.map((next, at) => watch(runner.run(request(`r${at}`, next))));
    expect(agent.aborts()).toBe(0);
    await runner.flush();
    expect(agents.map((next) => next.isStarted())).toEqual([false, false, false]);
    end();
    for (const [at, next] of agents.entries()) {
      await next.started;
      expect(agents.map((other) => other.isStarted())).toEqual([true, at >= 1, at >= 2]);
      play(next, `r${at}`);
    }
    await first.done;
    for (const [at, { done }] of streams.entries()) expect(spokenIn(await done)).toBe(`of r${at}`);
    expect(runIdsIn(await replayOf(runner, "t"))).toEqual(["first", "r0", "r1", "r2"]);
  });

  test("a waiting run counts as running, and can be stopped by its id without affecting the first run", async () => {
    const { runner, agent, first, end } = await busy("enqueue");
    const waiting = puppetAgent();
    const stream = watch(runner.run(request("second", waiting)));
    expect(runner.stats().activeRuns).toBe(2);
    expect(await runner.stop({ threadId: "t", runId: "second" })).toBe(true);
    expect(agent.aborts()).toBe(0);
    end();
    await first.done;
    const events = await stream.done;
    expect(events.at(-1)).toEqual({ type: "RUN_FINISHED", ...ids("second") });
    expect(waiting.isStarted()).toBe(false);
  });

  test("a waiting run gets its turn when the run before it fails, or ends before it began", async () => {
    const { runner, agent } = await busy("enqueue");
    const second = watch(runner.run(request("second", puppetAgent())));
    await runner.stop({ threadId: "t", runId: "second" });
    const third = puppetAgent();
    const stream = runner.run(request("third", third));
    agent.fail(new Error("broken"));
    expect((await second.done).at(-1)).toMatchObject({ type: "RUN_FINISHED" });
    await third.started;
    play(third, "third");
    expect(spokenIn(await collect(stream))).toBe("of third");
  });

  test("a run that is stopped while it waits is passed over, and the others keep their order", async () => {
    const runner = openRunner({ dbPath: tempDatabase(), onConcurrentRun: "enqueue" });
    const first = puppetAgent();
    const run = (
      runId: string,
      agent = answeringAgent() as Parameters<typeof runner.run>[0]["agent"],
    ) => watch(runner.run({ threadId: "t", agent, input: inputOf("t", runId) }));
    run("first", first);
    const streams = [run("a"), run("b"), run("c")];
    await runner.stop({ threadId: "t", runId: "b" });
    await first.started;
    first.finish();
    const ends = await Promise.all(streams.map(({ done }) => done));
    expect(ends.map((events) => typesOf(events).at(-1))).toEqual([
      "RUN_FINISHED",
      "RUN_FINISHED",
      "RUN_FINISHED",
    ]);
    expect(typesOf(ends[1] ?? [])).toEqual(["RUN_STARTED", "RUN_FINISHED"]);
  });
});

describe("the stream of a run has no events of the run that ended before it", () => {
  for (const onConcurrentRun of ["enqueue", "supersede"] as const) {
    test(`with onConcurrentRun "${onConcurrentRun}"`, async () => {
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
});
