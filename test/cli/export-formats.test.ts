import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { SynchronousRunner } from "../../bench/peers/synchronous.ts";
import { verifyWithClients } from "../events/clients.ts";
import { version1Files } from "../fixtures/sources.ts";
import { cli, fileWithThreads } from "../support/cli.ts";
import { eventsOf, withDatabase } from "../support/database-file.ts";
import {
  collect,
  openRunner,
  replayOf,
  runIdsIn,
  runToEnd,
  spokenIn,
} from "../support/open-runner.ts";
import { processInMidRun } from "../support/runner-process.ts";
import {
  answeringAgent,
  finished,
  type ScriptEvent,
  scriptedAgent,
  started,
  text,
} from "../support/scripted-agent.ts";
import { tempDatabase, tempDirectory } from "../support/temp-file.ts";
import { Version1 } from "../support/version-1.ts";

const eventsIn = (lines: readonly string[]) => lines.map((line) => JSON.parse(line) as ScriptEvent);

/** What the version 1 design shows of a thread of a file. */
async function shownByVersion1(file: string, threadId: string): Promise<ScriptEvent[]> {
  const runner = new SynchronousRunner(file);
  try {
    return await collect(runner.connect({ threadId }) as never);
  } finally {
    await runner.close();
  }
}

describe("export --fixture", () => {
  test("gives the events of a connect, which both versions of the client accept", async () => {
    const db = await fileWithThreads();
    const { code, lines, stderr } = await cli(["export", "--fixture", "t", "--db", db]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const events = eventsIn(lines);
    expect(runIdsIn(events)).toEqual(["r1", "r2"]);
    await verifyWithClients(events);
    expect(events).toEqual(await replayOf(openRunner({ dbPath: db }), "t"));
  });

  test("goes to a file, which is replaced when the new one is whole", async () => {
    const db = await fileWithThreads();
    const file = join(tempDirectory(), "fixture.ndjson.gz");
    for (const thread of ["t", "u"]) {
      const args = ["export", "--fixture", thread, "--out", file, "--db", db];
      expect((await cli(args)).code).toBe(0);
    }
    const lines = gunzipSync(readFileSync(file)).toString().trim().split("\n");
    expect(runIdsIn(eventsIn(lines))).toEqual(["r3"]);
  });

  test("says what is wrong", async () => {
    const db = await fileWithThreads();
    const missing = await cli(["export", "--fixture", "none", "--db", db]);
    expect({ code: missing.code, lines: missing.lines }).toEqual({ code: 3, lines: [] });
    const both = await cli(["export", "--fixture", "t", "--thread", "u", "--db", db]);
    expect(both.code).toBe(2);
    const others = await cli(["export", "--fixture", "t", "--resource", "ann", "--db", db]);
    expect(others.code).toBe(3);
  });

  test("is refused while a run executes", async () => {
    const db = tempDatabase();
    const { owner, finish } = await processInMidRun(db);
    const { code, stderr } = await cli(["export", "--fixture", "t", "--db", db]);
    expect(code).toBe(1);
    expect(stderr).toContain("wait for its end");
    await finish();
    await owner.close();
  });
});

describe("export --version-1", () => {
  test("makes a file in which version 1 finds each run, whole and in order", async () => {
    const db = tempDatabase();
    const runner = openRunner({ dbPath: db });
    const snapshot = { rows: Array.from({ length: 400 }, (_, at) => `row ${at}`) };
    const agent = () =>
      scriptedAgent(function* ({ input }) {
        yield started(input);
        yield { type: "STATE_SNAPSHOT", snapshot };
        yield* text(`m-${input.runId}`, `answer to ${input.runId}`);
        yield finished(input);
      });
    // An interrupt is resumed under its own id, and other threads may have the id as well.
    for (const runId of ["a", "b", "b"]) await runToEnd(runner, "t", runId, agent());
    await runToEnd(runner, "other", "a", answeringAgent());
    const replay = await replayOf(runner, "t");

    const file = join(tempDirectory(), "v1.db");
    const { code, lines, stderr } = await cli(["export", "--version-1", file, "--db", db]);
    expect({ code, lines }).toEqual({ code: 0, lines: [] });
    expect(stderr).toContain("2 threads and 4 runs exported");
    const chain = withDatabase(file, (open) => new Version1(open).chain("t"));
    expect(chain.map(({ run_id }) => run_id.replace(/#\d+$/, ""))).toEqual(["a", "b", "b"]);
    expect(chain.map(({ parent_run_id }) => parent_run_id)).toEqual([
      null,
      chain[0]?.run_id,
      chain[1]?.run_id,
    ]);
    for (const row of chain) {
      expect(eventsOf(row)).toContainEqual({ type: "STATE_SNAPSHOT", snapshot });
      expect(JSON.parse(row.input)).toMatchObject({ threadId: "t" });
    }
    const shown = await shownByVersion1(file, "t");
    await verifyWithClients(shown);
    expect(spokenIn(shown)).toBe(spokenIn(replay));
    expect(runIdsIn(shown)).toEqual(["a", "b", "b"]);
    // Version 1 goes on with it, and this runner reads what it writes.
    withDatabase(file, (open) => new Version1(open).storeRun("t", "theirs"));
    const back = await replayOf(openRunner({ dbPath: file }), "t");
    expect(runIdsIn(back)).toEqual(["a", "b", "b", "theirs"]);
    await verifyWithClients(back);
  });

  test.each(version1Files)("gives $name back as it was, after its migration", async ({ copy }) => {
    const original = copy();
    const threads = withDatabase(original, (db) =>
      db.prepare<[], string>("SELECT DISTINCT thread_id FROM agent_runs ORDER BY 1").pluck().all(),
    );
    const db = copy();
    expect((await cli(["migrate", "--db", db])).code).toBe(0);
    const file = join(tempDirectory(), "v1.db");
    expect((await cli(["export", "--version-1", file, "--db", db])).code).toBe(0);
    const rowsIn = (path: string, threadId: string) =>
      withDatabase(path, (open) =>
        open
          .prepare("SELECT run_id, events, input FROM agent_runs WHERE thread_id = ? ORDER BY id")
          .all(threadId),
      );
    for (const threadId of threads) {
      expect(rowsIn(file, threadId), threadId).toEqual(rowsIn(original, threadId));
      const chain = withDatabase(file, (open) => new Version1(open).chain(threadId));
      expect(chain, threadId).toHaveLength(rowsIn(file, threadId).length);
    }
  });

  test("takes some threads, and says that owners are lost", async () => {
    const db = await fileWithThreads();
    const file = join(tempDirectory(), "v1.db");
    const args = ["export", "--version-1", file, "--thread", "u", "--thread", "none", "--db", db];
    const { code, stderr } = await cli(args);
    expect(code).toBe(3);
    expect(stderr).toContain("1 thread of a resource to everybody");
    expect(spokenIn(await shownByVersion1(file, "u"))).toBe("answer to r3");
    expect(await shownByVersion1(file, "t")).toEqual([]);
  });

  test("replaces no file, and leaves none behind when it fails", async () => {
    const db = await fileWithThreads();
    const directory = tempDirectory();
    const file = join(directory, "v1.db");
    const args = ["export", "--version-1", file, "--db", db];
    expect((await cli(args)).code).toBe(0);
    const before = readFileSync(file);
    const again = await cli(args);
    expect(again.code).toBe(1);
    expect(again.stderr).toContain("BACKUP_EXISTS");
    expect(readFileSync(file).equals(before)).toBe(true);
    expect(readdirSync(directory)).toEqual(["v1.db"]);
    const nowhere = join(directory, "none", "v1.db");
    expect((await cli(["export", "--version-1", nowhere, "--db", db])).code).toBe(1);
    expect(existsSync(join(directory, "none"))).toBe(false);
    expect((await cli([...args, "--out", "other"])).code).toBe(2);
  });
});
