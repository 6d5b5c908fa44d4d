import Database from "better-sqlite3";
import { expect, onTestFinished, test } from "vitest";
import { prose } from "../../bench/workloads/prose.ts";
import { migrate } from "../../workers/sqlite/database/schema.ts";
import { ByteSearch } from "../../workers/sqlite/removal/byte-search.ts";
import { CheckpointRequests, Checkpoints } from "../../workers/sqlite/removal/checkpoints.ts";
import { collectNeedles } from "../../workers/sqlite/removal/collect-needles.ts";
import { prepareEraseStatements } from "../../workers/sqlite/removal/erase-statements.ts";
import { Needles } from "../../workers/sqlite/removal/needles.ts";
import { Slices } from "../../workers/sqlite/removal/slices.ts";
import { createWriterContext } from "../../workers/sqlite/runs/writer-context.ts";
import { packText } from "../../workers/sqlite/values/packed-text.ts";
import { packPlaces } from "../../workers/sqlite/values/stored-places.ts";

test("compressed texts are looked for as they are in the file, and as they were before", async () => {
  const db = new Database(":memory:");
  onTestFinished(() => {
    db.close();
  });
  migrate(db);
  const words = prose(1, 3000);
  const text = `{"secret":"${words}"}`;
  const state = prose(2, 300);
  const packed = [
    packText(text),
    packPlaces([["STATE_SNAPSHOT", 1, [`{"secret":"${state}"}`]]]),
  ] as const;
  expect(packed.map((stored) => Buffer.isBuffer(stored))).toEqual([true, true]);
  db.exec("INSERT INTO threads (thread_id, created_at) VALUES ('t', 1)");
  db.exec("INSERT INTO shared_logs (log, thread_id) VALUES (1, 't')");
  db.prepare("INSERT INTO shared_values (log, at, length, text) VALUES (1, 0, 3000, ?)").run(
    packed[0],
  );
  db.prepare(
    `INSERT INTO agent_runs (thread_id, run_id, events, input, created_at, version, shared_events)
     VALUES ('t', 'r', '[]', '{}', 1, 5, ?)`,
  ).run(packed[1]);
  const config = { dbPath: ":memory:", instanceId: "i", leaseMs: 60_000, file: null };
  const hooks = { before: () => undefined, after: () => undefined };
  const context = createWriterContext(db, config);
  const checkpoints = new Checkpoints(db, new CheckpointRequests(() => undefined));
  const slices = new Slices({ context, hooks, checkpoints });
  const needles = new Needles();
  await collectNeedles(prepareEraseStatements(db), slices, "t", needles);
  const search = new ByteSearch(needles);
  const foundIn = (bytes: Buffer) => {
    const found = new Set<string>();
    search.search(bytes, found);
    return found.size;
  };
  for (const bytes of [...packed, words, state]) {
    const all = Buffer.from(bytes as string | Uint8Array);
    // The beginning, the middle and the end.
    expect(foundIn(all)).toBeGreaterThanOrEqual(3);
    expect(foundIn(all.subarray(0, 12))).toBe(1);
    expect(foundIn(all.subarray(-12))).toBe(1);
  }
  expect(foundIn(Buffer.from(prose(3, 3000)))).toBe(0);
});
