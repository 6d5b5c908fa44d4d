import "../support/leak-guard.ts";
import { describe, expect, test } from "vitest";
import type { ActiveRun } from "../../src/runner/active-run.ts";
import { ThreadRuns } from "../../src/runner/thread-runs.ts";
import { openRunner, typesOf, watch } from "../support/open-runner.ts";
import { puppetAgent } from "../support/puppet-agent.ts";
import { answeringAgent, finished, inputOf, started } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const MANY = 30_000;

/** The part of a run that `ThreadRuns` needs. Counts the accesses. */
class FakeRun {
  static looks = 0;
  readonly threadId = "t";
  readonly runId: string;
  ended = false;

  constructor(at: number) {
    this.runId = `r${at}`;
  }

  get isActive(): boolean {
    FakeRun.looks++;
    return !this.ended;
  }

  async start(): Promise<void> {}
}

function queue(length: number) {
  const threads = new ThreadRuns();
  const runs = Array.from({ length }, (_, at) => new FakeRun(at));
  for (const run of runs) threads.add(run as unknown as ActiveRun);
  const end = (run: FakeRun) => {
    run.ended = true;
    threads.onSettled(run as unknown as ActiveRun);
    threads.onEnded(run as unknown as ActiveRun);
  };
  return { threads, runs, end };
}

describe("tens of thousands of waiting runs on one thread are not searched", () => {
  test("when each of them gets its turn, while a client waits for the last run", async () => {
    const { threads, runs, end } = queue(MANY);
    FakeRun.looks = 0;
    const idle = threads.idle();
    for (const run of runs) {
      expect(threads.current("t")).toBe(run);
      end(run);
    }
    await idle;
    expect(FakeRun.looks).toBeLessThanOrEqual(2 * MANY);
    expect(threads.current("t")).toBeNull();
    expect(threads.activeCount).toBe(0);
  });

  test("when all of them are refused, the last run first", () => {
    const { threads, runs, end } = queue(MANY);
    FakeRun.looks = 0;
    for (const run of runs.toReversed()) end(run);
    expect(FakeRun.looks).toBeLessThanOrEqual(2 * MANY);
    expect(threads.activeCount).toBe(0);
    expect(threads.open("t")).toEqual([]);
  });

  test("when a client connects: the cost is the same as with three waiting runs", () => {
    const fewest = (length: number) => {
      const { threads, runs } = queue(length);
      const times = Array.from({ length: 20 }, () => {
        const before = performance.now();
        expect(threads.open("t")).toEqual([runs[0]]);
        return performance.now() - before;
      });
      return Math.min(...times);
    };
    // A search would need ten thousand times as many accesses.
    expect(fewest(MANY)).toBeLessThan(Math.max(fewest(3), 0.01) * 100);
  });
});

test("thousands of subscribers of one run subscribe, get its events and leave", async () => {
  const runner = openRunner({ dbPath: tempDatabase() });
  const agent = puppetAgent();
  const run = runner.run({ threadId: "t", agent, input: inputOf("t", "r") });
  await agent.started;
  let told = 0;
  const subscriptions = Array.from({ length: 5000 }, () => run.subscribe(() => void told++));
  agent.emit(started({ threadId: "t", runId: "r" }));
  for (const each of subscriptions.slice(1)) each.unsubscribe();
  agent.emit(finished({ threadId: "t", runId: "r" }));
  agent.finish();
  await watch(run).done;
  expect(told).toBe(5001);
});

test("a run that was refused while it waited is skipped, and the others keep their order", async () => {
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
