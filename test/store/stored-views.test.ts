import "../support/leak-guard.ts";
import { expect, onTestFinished, test } from "vitest";
import type { StoredView } from "../../src/events/view/thread-view.ts";
import type { RunStore, ViewPoint } from "../../src/store/run-store.ts";
import { withDatabase } from "../support/database-file.ts";
import { noting } from "../support/folded-talk.ts";
import { openRunner, runToEnd } from "../support/open-runner.ts";
import { sqliteStore } from "../support/sqlite-store.ts";
import { tempDatabase } from "../support/temp-file.ts";

/** A store on a file with a thread "t" of four runs, and a function that reads its views. */
async function storeOfTalk() {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath });
  for (const id of ["r1", "r2", "r3", "r4"]) await runToEnd(runner, "t", id, noting());
  const store: RunStore = sqliteStore(dbPath);
  onTestFinished(() => store.close(1000));
  const read = (point: ViewPoint | null | undefined, earlier?: StoredView) =>
    store.readView?.("t", point ?? expect.fail("no point"), earlier) ?? expect.fail("no views");
  const { views } = await store.readHistory("t", null, { runs: 1, forReplay: true });
  return { dbPath, read, ...views };
}

test("a later view is the same when it is read behind an earlier one, and shares its messages", async () => {
  const { read, before, end } = await storeOfTalk();
  const earlier = await read(before);
  const later = await read(end, earlier);
  expect(later).toEqual(await read(end));
  expect(later.messages.length).toBeGreaterThan(earlier.messages.length);
  expect(earlier.messages.every((message, at) => message === later.messages[at])).toBe(true);
});

test("a later view is right when runs were removed after the earlier one was read", async () => {
  const { dbPath, read, before, end } = await storeOfTalk();
  const earlier = await read(before);
  withDatabase(dbPath, (db) => db.exec("DELETE FROM agent_runs WHERE run_id = 'r2'"));
  const later = await read(end, earlier);
  expect(later).toEqual(await read(end));
  expect(JSON.stringify(later.messages)).not.toContain("answer to r2");
});
