import "../support/leak-guard.ts";
import { describe, expect, test } from "vitest";
import { verifyWithClients } from "../events/clients.ts";
import {
  asReplayed,
  openRunner,
  replayOf,
  runIdsIn,
  runToEnd,
  spokenIn,
  watch,
} from "../support/open-runner.ts";
import {
  finished,
  inputOf,
  type ScriptEvent,
  scriptedAgent,
  started,
  text,
} from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const threadId = "t";

describe("history comes in pages, and other work goes on between them", () => {
  const PAGE_BYTES = 64 * 1024;

  /** The events of a replay, by the turn of the event loop in which they are emitted. */
  async function portionsOf(
    stream: ReturnType<typeof openRunner>["connect"],
  ): Promise<{ readonly events: ScriptEvent[] }[]> {
    const portions: { readonly events: ScriptEvent[] }[] = [];
    let current: { events: ScriptEvent[] } | null = null;
    let isOver = false;
    const otherWork = () => {
      current = null;
      if (!isOver) setImmediate(otherWork);
    };
    setImmediate(otherWork);
    await new Promise<void>((resolve) => {
      stream({ threadId }).subscribe({
        next(event) {
          if (current === null) {
            current = { events: [] };
            portions.push(current);
          }
          current.events.push(event as unknown as ScriptEvent);
        },
        complete: resolve,
      });
    });
    isOver = true;
    return portions;
  }

  const bytesOf = (events: readonly ScriptEvent[]) => JSON.stringify(events).length;

  test("of many runs", async () => {
    const runner = openRunner({ dbPath: tempDatabase(), durability: "normal" });
    for (let at = 0; at < 60; at++) {
      const agent = scriptedAgent(function* ({ input }) {
        yield started(input);
        yield { type: "CUSTOM", name: "filler", value: "x".repeat(10_000) };
        yield finished(input);
      });
      await runToEnd(runner, threadId, `run-${at}`, agent);
    }
    const portions = await portionsOf((request) => runner.connect(request));
    for (const { events } of portions) expect(bytesOf(events)).toBeLessThan(PAGE_BYTES);
    const all = portions.flatMap(({ events }) => events);
    expect(runIdsIn(all)).toEqual(Array.from({ length: 60 }, (_, at) => `run-${at}`));
  });

  test("of one run of 36 000 events", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const agent = scriptedAgent(function* ({ input }) {
      yield started(input);
      // None of these merges with its neighbour.
      for (let at = 0; at < 35_998; at++) yield { type: "CUSTOM", name: "tick", value: at };
      yield finished(input);
    });
    await runToEnd(runner, threadId, "run", agent);
    const portions = await portionsOf((request) => runner.connect(request));
    for (const { events } of portions) expect(bytesOf(events)).toBeLessThan(PAGE_BYTES);
    const all = portions.flatMap(({ events }) => events);
    expect(all).toHaveLength(36_000);
    const ticks = all.filter(({ name }) => name === "tick").map(({ value }) => value);
    expect(ticks).toEqual(Array.from({ length: 35_998 }, (_, at) => at));
  });

  test("the recorded events of a live run", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const said = Promise.withResolvers<void>();
    const gate = Promise.withResolvers<void>();
    const agent = scriptedAgent(async function* ({ input }) {
      yield started(input);
      for (let at = 0; at < 5000; at++) yield { type: "CUSTOM", name: "tick", value: at };
      said.resolve();
      await gate.promise;
      yield finished(input);
    });
    const run = watch(runner.run({ threadId, agent, input: inputOf(threadId, "run") }));
    await said.promise;
    const replayed = portionsOf((request) => runner.connect(request));
    // Wait until the replay has emitted all recorded events.
    const follower = watch(runner.connect({ threadId }));
    await follower.until(({ value }) => value === 4999);
    gate.resolve();
    const portions = await replayed;
    expect(portions.flatMap(({ events }) => events)).toEqual(asReplayed(await run.done));
    expect(portions.length).toBeGreaterThan(5);
  });

  test("of runs and events larger than a page", async () => {
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
