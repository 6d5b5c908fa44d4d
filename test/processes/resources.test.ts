import "../support/leak-guard.ts";
import { describe, expect, test } from "vitest";
import { withResource } from "../../src/index.ts";
import { openRunner, replayOf, runIdsIn, runToEnd, spokenIn } from "../support/open-runner.ts";
import { RunnerProcess } from "../support/runner-process.ts";
import { answeringAgent, finished, started, text } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const HOUR_MS = 3_600_000;
const NOT_FOUND = [
  { type: "RUN_ERROR", code: "THREAD_NOT_FOUND", message: "there is no such thread" },
];
const OTHERS = ["bob", "ANN", undefined];
const ids = { threadId: "t", runId: "live" };

/** A process that executes a run of Ann's on thread "t". */
async function annsProcess(dbPath = tempDatabase()) {
  const owner = await RunnerProcess.open({ dbPath, leaseMs: HOUR_MS });
  const live = owner.run("t", "live", { resourceId: "ann" });
  await live.emit(started(ids), ...text("m", "for ann alone"));
  await owner.flush();
  const finish = async () => {
    await live.emit(finished(ids));
    await live.finish();
    return live.done;
  };
  return { dbPath, owner, live, finish };
}

describe("another's thread that runs in another process", () => {
  test.each(["throw", "reject", "supersede", "enqueue"] as const)(
    "cannot be run on, and its run goes on: %s",
    async (onConcurrentRun) => {
      const { dbPath, live, finish } = await annsProcess();
      const here = openRunner({ dbPath, onConcurrentRun, leaseMs: HOUR_MS });
      for (const who of OTHERS) {
        const run = () => runToEnd(here, "t", "stolen", answeringAgent());
        expect(await (who === undefined ? run() : withResource(who, run))).toEqual(NOT_FOUND);
      }
      expect(await live.aborts()).toBe(0);
      expect((await finish()).at(-1)).toMatchObject({ type: "RUN_FINISHED" });
      const replay = await withResource("ann", () => replayOf(here, "t"));
      expect(runIdsIn(replay)).toEqual(["live"]);
    },
  );

  test("can be neither followed, nor seen, nor stopped", async () => {
    const { dbPath, live, finish } = await annsProcess();
    const other = await RunnerProcess.open({ dbPath, leaseMs: HOUR_MS });
    const expectUnknown = async () => {
      for (const who of OTHERS) {
        expect(await other.connect("t", who).done).toEqual([]);
        expect(await other.isRunning("t", who)).toBe(false);
        expect(await other.stop("t", undefined, who)).toBe(false);
        expect(await other.stop("t", "live", who)).toBe(false);
      }
    };
    await expectUnknown();
    expect(await live.aborts()).toBe(0);
    expect(await other.isRunning("t", "ann")).toBe(true);
    const followed = other.connect("t", "ann");
    await finish();
    expect(spokenIn(await followed.done)).toBe("for ann alone");
    await expectUnknown();
  });

  test("stays another's when its process is killed, for whoever ends its run", async () => {
    const { dbPath, owner } = await annsProcess();
    const other = await RunnerProcess.open({ dbPath, onConcurrentRun: "enqueue" });
    const waiting = other.run("t", "next", { resourceId: "ann" });
    await owner.kill();
    for (const who of OTHERS) {
      const run = other.run("t", "stolen", who === undefined ? {} : { resourceId: who });
      expect(await run.done).toEqual(NOT_FOUND);
      expect(await other.connect("t", who).done).toEqual([]);
    }
    await waiting.started();
    await waiting.finish();
    await waiting.done;
    const replay = await other.connect("t", "ann").done;
    expect(spokenIn(replay)).toBe("for ann alone");
    await other.close();
  });

  test("is another's for a run that waits where its own resource has the thread", async () => {
    const { dbPath, finish } = await annsProcess();
    const other = await RunnerProcess.open({ dbPath, onConcurrentRun: "enqueue" });
    const waiting = other.run("t", "waiting", { resourceId: "ann" });
    expect(await other.run("t", "waiting", { resourceId: "bob" }).done).toEqual(NOT_FOUND);
    for (const who of ["bob", "ANN"]) expect(await other.stop("t", "waiting", who)).toBe(false);
    await finish();
    await waiting.started();
    await waiting.finish();
    await waiting.done;
    await other.close();
  });
});

test("of two resources that claim a new thread in two processes at once, one gets it, 200 times", async () => {
  const dbPath = tempDatabase();
  const there = await RunnerProcess.open({ dbPath, onConcurrentRun: "enqueue", leaseMs: HOUR_MS });
  const here = openRunner({ dbPath, onConcurrentRun: "enqueue", leaseMs: HOUR_MS });
  const winners = new Set<string>();
  for (let round = 0; round < 200; round++) {
    const threadId = `t${round}`;
    const distant = there.run(threadId, "bobs", { resourceId: "bob" });
    const own = withResource("ann", () => runToEnd(here, threadId, "anns", answeringAgent()));
    const emitThere = async () => {
      const bobsIds = { threadId, runId: "bobs" };
      await distant.emit(started(bobsIds), finished(bobsIds));
      await distant.finish();
    };
    // Of a run that is refused, the agent never begins.
    emitThere().catch(() => undefined);
    const [bobs, anns] = await Promise.all([distant.done, own]);
    const annWins = anns.at(-1)?.type === "RUN_FINISHED";
    winners.add(annWins ? "ann" : "bob");
    expect(annWins ? bobs : anns).toEqual(NOT_FOUND);
    expect((annWins ? anns : bobs).at(-1)).toMatchObject({ type: "RUN_FINISHED" });
    const [loser, winner] = annWins ? ["bob", "ann"] : ["ann", "bob"];
    expect(await there.connect(threadId, loser).done).toEqual([]);
    expect(await withResource(loser, () => replayOf(here, threadId))).toEqual([]);
    const replay = await withResource(winner, () => replayOf(here, threadId));
    expect(runIdsIn(replay)).toEqual([annWins ? "anns" : "bobs"]);
  }
  // Both win now and then: the claims do meet.
  expect([...winners].sort()).toEqual(["ann", "bob"]);
  await there.close();
});
