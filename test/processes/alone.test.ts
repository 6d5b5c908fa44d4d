import "../support/leak-guard.ts";
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { valueIn } from "../support/database-file.ts";
import { openRunner, spokenIn, watch } from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import { puppetAgent } from "../support/puppet-agent.ts";
import { RunnerProcess } from "../support/runner-process.ts";
import { finished, inputOf, started, text } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const WATCH_WRITER = fileURLToPath(new URL("watch-writer.ts", import.meta.url));

/** Segments of runs, and ended runs whose segments are retained. */
function journaled(dbPath: string): { segments: unknown; kept: unknown } {
  return {
    segments: valueIn(dbPath, "SELECT count(*) FROM run_events"),
    kept: valueIn(dbPath, "SELECT count(*) FROM retained_journals"),
  };
}

const NOTHING = { segments: 0, kept: 0 };

/** A run that is journaled before it ends. */
async function runJournaled(
  runner: ReturnType<typeof openRunner>,
  threadId: string,
  dbPath: string,
): Promise<void> {
  const ids = { threadId, runId: `run of ${threadId}` };
  const agent = puppetAgent();
  const run = watch(runner.run({ threadId, agent, input: inputOf(threadId, ids.runId) }));
  await agent.started;
  agent.emit(started(ids), ...text(`m of ${threadId}`, "journaled"));
  await runner.flush();
  const segments = "SELECT count(*) FROM run_events WHERE thread_id = ?";
  expect(valueIn(dbPath, segments, threadId)).toBeGreaterThan(0);
  agent.emit(finished(ids));
  agent.finish();
  expect(spokenIn(await run.done)).toBe("journaled");
}

/** A process whose writer logs its actions: see `watch-writer.ts`. */
async function observed(leaseMs: number) {
  const dbPath = tempDatabase();
  const diary = `${dbPath}.diary`;
  writeFileSync(diary, "");
  const process_ = await RunnerProcess.open(
    { dbPath, leaseMs },
    { execArgv: ["--import", WATCH_WRITER], env: { WRITER_DIARY: diary } },
  );
  /** The writer's actions from now until `enough`. */
  const until = async (enough: (done: string) => boolean) => {
    const { length } = readFileSync(diary, "utf8");
    return eventually(() => {
      const done = readFileSync(diary, "utf8").slice(length);
      return enough(done) ? done : undefined;
    });
  };
  return { dbPath, process_, until };
}

/** The writer only writes heartbeats. */
const beatsOnly = (done: string) => done.endsWith("BBBBB");
const fiveTimes = (done: string) => done.length >= 5;
/** The writer mostly looks for changes. */
const watches = (done: string) => done.includes("DDDDD");

describe("a process that is alone on its file", () => {
  test("only writes its heartbeat, also after another process has left or was killed", async () => {
    const { dbPath, process_, until } = await observed(1200);
    await until(beatsOnly);
    expect(await until(fiveTimes)).toMatch(/^B+$/);

    const here = openRunner({ dbPath });
    await here.ready();
    await until(watches);
    await here.close();
    await until(beatsOnly);
    expect(await until(fiveTimes)).toMatch(/^B+$/);

    const other = await RunnerProcess.open({ dbPath });
    const run = other.run("t", "r");
    await run.emit(started({ threadId: "t", runId: "r" }));
    await other.flush();
    await until(watches);
    await other.kill();
    await process_.logged("recovered runs of dead processes");
    await until(beatsOnly);
    expect(await until(fiveTimes)).toMatch(/^B+$/);
    await eventually(() => journaled(dbPath).segments === 0);
    expect(journaled(dbPath)).toEqual(NOTHING);
  });

  test("retains no journal of an ended run", async () => {
    const dbPath = tempDatabase();
    const here = openRunner({ dbPath });
    await runJournaled(here, "t", dbPath);
    expect(journaled(dbPath)).toEqual(NOTHING);
  });

  test("deletes journals retained for other processes, once these have left or were killed", async () => {
    const dbPath = tempDatabase();
    const here = openRunner({ dbPath, leaseMs: 1500 });
    for (const [at, leave] of ["close" as const, "kill" as const].entries()) {
      const other = await RunnerProcess.open({ dbPath });
      await runJournaled(here, `t${at}`, dbPath);
      expect(journaled(dbPath).kept).toBe(1);
      await other[leave]();
      await eventually(() => journaled(dbPath).kept === 0);
      expect(journaled(dbPath)).toEqual(NOTHING);
    }
    await runJournaled(here, "alone", dbPath);
    expect(journaled(dbPath)).toEqual(NOTHING);
  });
});
