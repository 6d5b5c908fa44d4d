import "../support/leak-guard.ts";
import { createReadStream, createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import type { Worker } from "node:worker_threads";
import { expect, test, vi } from "vitest";
import {
  type ExportRecord,
  exportThreads,
  fromNdjson,
  importThreads,
  toNdjson,
} from "../../src/index.ts";
import { nextLine, spawnChild } from "../support/child-process.ts";
import { valueIn, withDatabase } from "../support/database-file.ts";
import { allIds, recordsOf } from "../support/moving.ts";
import { openRunner, runToEnd } from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import { Random } from "../support/random.ts";
import { answeringAgent, scriptedAgent } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";
import { terminate } from "../support/terminate.ts";
import { threadsOf } from "../support/watched-pools.ts";

vi.mock("piscina", async (original) => {
  // Mocks come before all imports.
  const { watchPools } = await import("../support/watched-pools.ts");
  return watchPools(await original());
});

const CHILD = `${import.meta.dirname}/fixtures/import.child.ts`;

/** Lines of the child after which it is killed, at most: there are more. */
const LINES = 60;

/** Threads of a few short runs, and between them some that are imported in several pieces. */
async function exportedFile(): Promise<{ path: string; records: readonly ExportRecord[] }> {
  const from = openRunner({ dbPath: tempDatabase() });
  for (let thread = 0; thread < 12; thread++) {
    const isLong = thread % 4 === 1;
    for (let run = 0; run < (isLong ? 12 : 2); run++) {
      const agent = scriptedAgent(function* ({ input: { threadId, runId } }) {
        yield { type: "RUN_STARTED", threadId, runId };
        yield { type: "CUSTOM", name: "long", value: `${runId} `.repeat(100_000) };
        yield { type: "STATE_SNAPSHOT", snapshot: { shared: "value ".repeat(2000), run } };
        yield { type: "RUN_FINISHED", threadId, runId };
      });
      await runToEnd(from, `t${thread}`, `r${run}`, isLong ? agent : answeringAgent());
    }
  }
  const path = `${tempDatabase()}.ndjson`;
  await pipeline(toNdjson(exportThreads(from)), createWriteStream(path));
  const records = await recordsOf(from);
  await from.close();
  return { path, records };
}

/** The records without those of threads that are not among `ids`. */
const ofThreads = (records: readonly ExportRecord[], ids: readonly string[]) =>
  records.filter((record) => record.type !== "total" && ids.includes(record.threadId));

test("an import whose process is killed leaves whole threads alone, and goes on when called again", async () => {
  const random = new Random(7);
  const { path, records } = await exportedFile();
  let cutOff = 0;
  for (let round = 0; round < 5; round++) {
    const dbPath = tempDatabase();
    const child = spawnChild(process.execPath, [CHILD, dbPath, path]);
    const until = random.integer(1, LINES);
    for (let line = 0; line < until; line++) expect(await nextLine(child)).not.toBe("imported");
    await child.kill();
    cutOff += Number(valueIn(dbPath, "SELECT count(*) FROM unfinished_threads"));
    const to = openRunner({ dbPath });
    const ids = await allIds(to);
    expect(ofThreads(await recordsOf(to), ids)).toEqual(ofThreads(records, ids));
    // Nothing stays of a thread that was not whole.
    await eventually(() => valueIn(dbPath, "SELECT count(*) FROM unfinished_threads") === 0);
    const stored = withDatabase(dbPath, (db) =>
      db.prepare("SELECT DISTINCT thread_id FROM agent_runs ORDER BY 1").pluck().all(),
    );
    expect(stored).toEqual(ids);
    const result = await importThreads(to, fromNdjson(createReadStream(path)));
    expect(result).toMatchObject({ threads: 12 - ids.length, skipped: ids.length });
    expect(await recordsOf(to)).toEqual(records);
    await to.close();
  }
  expect(cutOff).toBeGreaterThan(0);
});

test("an import begun while what a dead process has left is still there, waits for its removal", async () => {
  const { path, records } = await exportedFile();
  const dbPath = tempDatabase();
  const child = spawnChild(process.execPath, [CHILD, dbPath, path]);
  await nextLine(child);
  await child.kill();
  const to = openRunner({ dbPath });
  // As the dead process would have left it in the middle of each thread.
  await to.ready();
  const dead = "dead instance";
  withDatabase(dbPath, (db) => {
    const ids = new Set(records.flatMap((r) => (r.type === "thread" ? r.threadId : [])));
    for (const id of db.prepare("SELECT thread_id FROM threads").pluck().all()) ids.delete(`${id}`);
    const insert = db.prepare(
      `INSERT OR REPLACE INTO unfinished_threads (thread_id, resource_id, up_to, is_fork, owner_id)
       VALUES (?, NULL, 9007199254740991, 1, ?)`,
    );
    for (const id of ids) insert.run(id, dead);
  });
  await importThreads(to, fromNdjson(createReadStream(path)));
  expect(await recordsOf(to)).toEqual(records);
});

test("an import whose writer dies ends with an error, leaves whole threads, and goes on when called again", async () => {
  const { records } = await exportedFile();
  const dbPath = tempDatabase();
  const to = openRunner({ dbPath });
  async function* killing() {
    let isLong = false;
    for (const record of records) {
      yield record;
      isLong ||= record.type === "run" && record.runId === "r7";
      if (!isLong) continue;
      isLong = false;
      await terminate(threadsOf("writer") as Worker[]);
    }
  }
  await expect(importThreads(to, killing())).rejects.toMatchObject({ retryable: true });
  const ids = await allIds(to);
  expect(ofThreads(await recordsOf(to), ids)).toEqual(ofThreads(records, ids));
  await importThreads(to, records);
  expect(await recordsOf(to)).toEqual(records);
});
