import assert from "node:assert/strict";
import type { RunStore } from "../run-store.ts";
import type { ThreadStore } from "../thread-store.ts";
import { finished, started } from "./events.ts";
import type { Section } from "./section.ts";
import type { StoreUnderTest } from "./store-under-test.ts";

const NOBODY = { resourceId: null };

function threadsOf({ threads }: RunStore): ThreadStore {
  if (threads === undefined) assert.fail("the store has threads");
  return threads;
}

/** Runs `r1`, `r2` and so on, each with a message of its own: `m1`, `m2` and so on. */
async function storeRuns(store: StoreUnderTest, threadId: string, runs: number): Promise<void> {
  for (let at = 1; at <= runs; at++) {
    const runId = `r${at}`;
    const events = [started(threadId, runId, [`m${at}`]), finished(threadId, runId)];
    await store.storeRun(threadId, runId, events);
  }
}

export const purgedThreads: Section = {
  title: "purging threads",
  needs: ["threads", "removal"],
  define(test) {
    test("the oldest runs of a thread are removed, and their messages stay known", async ({
      open,
    }) => {
      const store = open();
      await storeRuns(store, "t", 5);
      await storeRuns(store, "short", 2);
      const done = await threadsOf(store.port).purge({ maxRunsPerThread: 2, scope: "every" });
      assert.deepEqual([done.threads, done.runs], [0, 3]);
      assert.deepEqual(await store.storedRunIds("t"), ["r4", "r5"]);
      assert.deepEqual(await store.storedRunIds("short"), ["r1", "r2"]);
      const known = await store.seen("t", "x", ["m1", "m3", "m5", "m6"]);
      assert.deepEqual(known, [true, true, true, false]);
      await store.storeRun("t", "r6");
      assert.deepEqual(await store.storedRunIds("t"), ["r4", "r5", "r6"]);
    });

    test("so many latest runs are kept, whatever the limits say", async ({ open }) => {
      const store = open();
      await storeRuns(store, "t", 5);
      const limits = { maxRunsPerThread: 1, keepLatest: 3 };
      assert.equal((await threadsOf(store.port).purge({ ...limits, scope: "every" })).runs, 2);
      assert.deepEqual(await store.storedRunIds("t"), ["r3", "r4", "r5"]);
    });

    test("after many runs at once, the threads that were used last are kept", async ({ open }) => {
      const store = open();
      const ids = Array.from({ length: 600 }, (_, at) => `thread ${at}`);
      const used = ids.slice(0, 300);
      await Promise.all(ids.map((id) => store.storeRun(id, `first of ${id}`)));
      await Promise.all(used.map((id) => store.storeRun(id, `second of ${id}`)));
      const threads = threadsOf(store.port);
      const done = await threads.purge({ maxThreads: used.length, scope: "every" });
      assert.equal(done.threads, ids.length - used.length);
      const { threads: left } = await threads.list({ limit: 500 }, NOBODY);
      assert.deepEqual(left.map(({ id }) => id).toSorted(), used.toSorted());
    });

    test("too many threads are removed, and each limit alone removes nothing else", async ({
      open,
    }) => {
      const store = open();
      const threads = threadsOf(store.port);
      for (const threadId of ["a", "b", "c"]) await storeRuns(store, threadId, 2);
      const purge = (limits: object) => threads.purge({ ...limits, scope: "every" });
      for (const limits of [
        {},
        { maxThreads: 3 },
        { maxAgeMs: 3_600_000 },
        { maxBytes: 2 ** 40 },
      ]) {
        assert.deepEqual(await purge(limits), { threads: 0, runs: 0, bytes: 0 });
      }
      const dry = await purge({ maxThreads: 1, dryRun: true });
      assert.deepEqual([dry.threads, dry.runs], [2, 4]);
      assert.deepEqual(await purge({ maxThreads: 1 }), dry);
      const left = await Promise.all(["a", "b", "c"].map((id) => store.storedRunIds(id)));
      assert.deepEqual(
        left.filter((runIds) => runIds.length > 0),
        [["r1", "r2"]],
      );
    });

    test("a thread with a run, and those of other resources, are left alone", async ({ open }) => {
      const store = open();
      const threads = threadsOf(store.port);
      await storeRuns(store, "held", 3);
      await storeRuns(store, "free", 3);
      const run = await store.claimed("held", "r4");
      const limits = { maxThreads: 0, maxRunsPerThread: 1 };
      assert.equal((await threads.purge({ ...limits, scope: { resourceId: "ann" } })).runs, 0);
      assert.equal((await threads.purge({ ...limits, scope: NOBODY })).threads, 1);
      await run.finish();
      assert.deepEqual(await store.storedRunIds("held"), ["r1", "r2", "r3", "r4"]);
      assert.deepEqual(await store.storedRunIds("free"), []);
    });
  },
};

export const erasedThreads: Section = {
  title: "erasing threads",
  needs: ["threads", "removal"],
  define(test) {
    test("a thread, and all threads of a resource", async ({ open }) => {
      const store = open();
      const threads = threadsOf(store.port);
      const ann = { resourceId: "ann" };
      for (const threadId of ["a", "b"]) {
        const run = await store.claimed(threadId, "r", ann);
        await run.finish();
      }
      await storeRuns(store, "t", 2);
      await storeRuns(store, "kept", 1);
      const { verified: _, ...one } = await threads.erase({ threadId: "t" }, NOBODY);
      assert.deepEqual(one, { threads: 1, runs: 2 });
      const { verified: __, ...all } = await threads.erase(ann, ann);
      assert.deepEqual(all, { threads: 2, runs: 2 });
      assert.deepEqual(await store.storedRunIds("t"), []);
      assert.deepEqual(await store.storedRunIds("kept"), ["r1"]);
      assert.equal((await store.claim("a", "r", { resourceId: "bob" })).kind, "claimed");
    });

    test("nothing is erased while a run holds a thread, nor for another resource", async ({
      open,
    }) => {
      const store = open();
      const threads = threadsOf(store.port);
      await storeRuns(store, "t", 1);
      const run = await store.claimed("t", "r2");
      const codeOf = (erased: Promise<unknown>) =>
        erased.then(
          () => null,
          ({ code }: { code: unknown }) => code,
        );
      const target = { threadId: "t" };
      assert.equal(await codeOf(threads.erase(target, NOBODY)), "THREAD_ALREADY_RUNNING");
      await run.finish();
      const ofAnn = threads.erase(target, { resourceId: "ann" });
      assert.equal(await codeOf(ofAnn), "THREAD_NOT_FOUND");
      assert.deepEqual(await store.storedRunIds("t"), ["r1", "r2"]);
    });
  },
};
