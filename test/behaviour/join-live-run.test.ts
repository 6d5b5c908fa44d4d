import "../support/leak-guard.ts";
import { describe, expect, test } from "vitest";
import { verifyWithClients } from "../events/clients.ts";
import {
  asReplayed,
  openRunner,
  replayOf,
  runIdsIn,
  runToEnd,
  watch,
} from "../support/open-runner.ts";
import { puppetAgent } from "../support/puppet-agent.ts";
import {
  answeringAgent,
  finished,
  heldAgent,
  inputOf,
  type ScriptEvent,
  scriptedAgent,
  started,
  text,
} from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const threadId = "t";
const ids = (runId: string) => ({ threadId, runId });
const request = (runId: string) => ({ threadId: "t", input: inputOf("t", runId) });

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
    expect(events.slice(-live.events.length)).toEqual(asReplayed(live.events));
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
    const expected = merged([...before, ...asReplayed(live.events)]);
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

  test("ends with RUN_FINISHED when the run is stopped, and shows nothing of the next run", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const agent = heldAgent();
    runner.run({ threadId, agent, input: inputOf(threadId, "stopped") });
    await agent.halfway;
    const follower = watch(runner.connect({ threadId }));
    await follower.until(({ delta }) => delta === "first half, ");
    await runner.stop({ threadId });
    expect(runIdsIn(await follower.done)).toEqual(["stopped"]);
    await runToEnd(runner, threadId, "next", answeringAgent());
    expect(runIdsIn(follower.events)).toEqual(["stopped"]);
    expect(runIdsIn(await replayOf(runner, threadId))).toEqual(["stopped", "next"]);
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
