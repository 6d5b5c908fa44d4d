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

const rejectsWith = (promise: Promise<unknown>, code: string) =>
  assert.rejects(promise, (error: { code?: unknown }) => error.code === code);

/** A run with messages in its input. */
const storeMessages = (store: StoreUnderTest, threadId: string, runId: string, ids: string[]) =>
  store.storeRun(threadId, runId, [started(threadId, runId, ids), finished(threadId, runId)]);

export const removedThreads: Section = {
  title: "deleting threads",
  needs: ["threads", "removal"],
  define(test) {
    test("a deleted thread is unknown, and other threads are whole", async ({ open }) => {
      const store = open();
      await storeMessages(store, "t", "r1", ["a"]);
      await storeMessages(store, "other", "r1", ["a"]);
      await threadsOf(store.port).delete("t", NOBODY);
      assert.deepEqual(await store.storedRunIds("t"), []);
      assert.deepEqual(await store.storedRunIds("other"), ["r1"]);
      await rejectsWith(threadsOf(store.port).delete("t", NOBODY), "THREAD_NOT_FOUND");
    });

    test("a thread made again has nothing of the deleted one", async ({ open }) => {
      const store = open();
      await storeMessages(store, "t", "r1", ["a", "b"]);
      await storeMessages(store, "t", "r2", ["c"]);
      await threadsOf(store.port).delete("t", NOBODY);
      const outcome = await store.claim("t", "r1", { messageIds: ["a", "c"], resourceId: "ann" });
      assert.equal(outcome.kind, "claimed");
      assert.deepEqual(outcome.seen, [false, false]);
      assert.ok(outcome.run.epoch > 2, "its epochs go on behind those of the deleted thread");
      outcome.run.append(started("t", "r1", ["a"]));
      await outcome.run.finish();
      const page = await store.port.readHistory("t", null, { scope: { resourceId: "ann" } });
      assert.deepEqual(
        page.segments.map(({ runId }) => runId),
        ["r1"],
      );
    });

    test("a thread with a run is not deleted until the run is over", async ({ open }) => {
      const store = open();
      await store.storeRun("t", "r1");
      const run = await store.claimed("t", "r2");
      const { delete: remove } = threadsOf(store.port);
      const deleted = () => remove.call(threadsOf(store.port), "t", NOBODY);
      await rejectsWith(deleted(), "THREAD_ALREADY_RUNNING");
      await run.finish();
      assert.deepEqual(await store.storedRunIds("t"), ["r1", "r2"]);
      await deleted();
      assert.deepEqual(await store.storedRunIds("t"), []);
    });

    test("another resource deletes nothing", async ({ open }) => {
      const store = open();
      const run = await store.claimed("t", "r", { resourceId: "ann" });
      const others = async () => {
        for (const resourceId of ["bob", null]) {
          await rejectsWith(threadsOf(store.port).delete("t", { resourceId }), "THREAD_NOT_FOUND");
        }
      };
      await others();
      await run.finish();
      await others();
      await threadsOf(store.port).delete("t", { resourceId: "ann" });
    });
  },
};

export const forkedThreads: Section = {
  title: "forking threads",
  needs: ["threads", "removal"],
  define(test) {
    test("a fork has the runs up to one, and knows their messages alone", async ({ open }) => {
      const store = open();
      const threads = threadsOf(store.port);
      for (const [at, id] of ["a", "b", "c"].entries()) {
        await storeMessages(store, "t", `r${at + 1}`, [id]);
      }
      await threads.fork({ threadId: "t", newThreadId: "f", atRun: "r2" }, NOBODY);
      const whole = await store.history("t");
      assert.deepEqual(await store.history("f"), whole.slice(0, 2));
      assert.deepEqual(await store.seen("f", "x", ["a", "b", "c"]), [true, true, false]);
      assert.deepEqual(await store.seen("t", "x", ["a", "b", "c"]), [true, true, true]);
      await storeMessages(store, "f", "r3", ["d"]);
      assert.deepEqual(await store.storedRunIds("f"), ["r1", "r2", "r3"]);
      assert.deepEqual(await store.storedRunIds("t"), ["r1", "r2", "r3"]);
    });

    test("without a run it has them all, and its epochs follow", async ({ open }) => {
      const store = open();
      const threads = threadsOf(store.port);
      for (const runId of ["r1", "r2", "r2"]) await store.storeRun("t", runId);
      await threads.fork({ threadId: "t", newThreadId: "f" }, NOBODY);
      assert.deepEqual(await store.storedRunIds("f"), ["r1", "r2", "r2"]);
      assert.ok((await store.claimed("f", "r")).epoch > 3);
    });

    for (const first of ["t", "f"]) {
      test(`a fork and its origin outlive each other: ${first} is deleted`, async ({ open }) => {
        const store = open();
        const threads = threadsOf(store.port);
        const state = { text: "long ".repeat(1000) };
        for (const at of [1, 2, 3]) {
          const snapshot = { type: "STATE_SNAPSHOT", snapshot: { ...state, at } };
          await store.storeRun("t", `r${at}`, [started("t", `r${at}`, []), snapshot]);
        }
        await threads.fork({ threadId: "t", newThreadId: "f", atRun: "r2" }, NOBODY);
        const kept = first === "t" ? "f" : "t";
        const before = await store.history(kept);
        await threads.delete(first, NOBODY);
        assert.deepEqual(await store.history(kept), before);
        assert.deepEqual(await store.storedRunIds(first), []);
        await store.storeRun(kept, "later", [{ type: "STATE_SNAPSHOT", snapshot: state }]);
        assert.deepEqual((await store.history(kept)).slice(0, -1), before);
      });
    }

    test("what cannot be forked is told", async ({ open }) => {
      const store = open();
      const threads = threadsOf(store.port);
      await store.storeRun("t", "r");
      await store.storeRun("taken", "r");
      const fork = (threadId: string, newThreadId: string, atRun?: string) =>
        threads.fork({ threadId, newThreadId, atRun }, NOBODY);
      await rejectsWith(fork("unknown", "f"), "THREAD_NOT_FOUND");
      await rejectsWith(fork("t", "f", "unknown"), "RUN_NOT_FOUND");
      await rejectsWith(fork("t", "taken"), "THREAD_EXISTS");
      await rejectsWith(fork("t", "t"), "THREAD_EXISTS");
      const other = threads.fork({ threadId: "t", newThreadId: "f" }, { resourceId: "ann" });
      await rejectsWith(other, "THREAD_NOT_FOUND");
      await fork("t", "f", "r");
    });

    test("a fork belongs to the resource of its origin", async ({ open }) => {
      const store = open();
      const run = await store.claimed("t", "r", { resourceId: "ann" });
      await run.finish();
      const ann = { resourceId: "ann" };
      await threadsOf(store.port).fork({ threadId: "t", newThreadId: "f" }, ann);
      assert.equal((await store.claim("f", "r2", { resourceId: null })).kind, "refused");
      assert.equal((await store.claim("f", "r2", ann)).kind, "claimed");
    });
  },
};

export const removedThreadsOfSeveralInstances: Section = {
  title: "deleting threads, in several stores",
  needs: ["severalInstances", "threads", "removal"],
  define(test) {
    test("a thread that another store deleted is unknown here", async ({ open }) => {
      const [one, other] = [open(), open()];
      await storeMessages(one, "t", "r1", ["a"]);
      assert.deepEqual(await other.storedRunIds("t"), ["r1"]);
      await threadsOf(other.port).delete("t", NOBODY);
      assert.deepEqual(await one.storedRunIds("t"), []);
      assert.deepEqual(await one.seen("t", "r2", ["a"]), [false]);
    });

    test("one store makes a thread again that the other deleted, over and over", async ({
      open,
    }) => {
      const [one, other] = [open(), open()];
      const epochs: number[] = [];
      for (const [at, [maker, remover]] of [
        [one, other],
        [other, one],
        [one, one],
      ].entries()) {
        if (maker === undefined || remover === undefined) continue;
        const outcome = await maker.claim("t", "r", { messageIds: ["a"], resourceId: `${at}` });
        assert.equal(outcome.kind, "claimed");
        assert.deepEqual(outcome.seen, [false]);
        epochs.push(outcome.run.epoch);
        outcome.run.append(started("t", "r", ["a"]));
        await outcome.run.finish();
        await threadsOf(remover.port).delete("t", { resourceId: `${at}` });
      }
      assert.deepEqual(
        epochs.toSorted((a, b) => a - b),
        epochs,
      );
    });

    test("a thread that a run of another store holds is deleted when the run was ended", async ({
      open,
    }) => {
      const [one, other] = [open(), open()];
      await other.port.ready();
      const { run, asked } = await one.claimedToBeStopped("t", "r");
      run.append(started("t", "r", ["a"]));
      const threads = threadsOf(other.port);
      await rejectsWith(threads.delete("t", NOBODY), "THREAD_ALREADY_RUNNING");
      const ended = threads.endRun("t", NOBODY);
      assert.deepEqual((await asked).discard, true);
      await run.release();
      await ended;
      // Nothing of it was stored: the thread is gone with its run.
      await rejectsWith(threads.delete("t", NOBODY), "THREAD_NOT_FOUND");
    });

    test("no run of another resource is ended", async ({ open }) => {
      const [one, other] = [open(), open()];
      const run = await one.claimed("t", "r", { resourceId: "ann" });
      await threadsOf(other.port).endRun("t", { resourceId: "bob" });
      await threadsOf(other.port).endRun("t", NOBODY);
      await run.finish();
      assert.equal((await one.port.readHistory("t", null, { scope: "every" })).segments.length, 1);
    });

    test("a fork is made in one store of a thread of the other", async ({ open }) => {
      const [one, other] = [open(), open()];
      const state = { text: "long ".repeat(1000) };
      const snapshot = { type: "STATE_SNAPSHOT", snapshot: state };
      await one.storeRun("t", "r1", [snapshot]);
      await threadsOf(other.port).fork({ threadId: "t", newThreadId: "f" }, NOBODY);
      // Both threads go on: neither writes into what the other reads.
      await one.storeRun("t", "r2", [
        { ...snapshot, snapshot: { ...state, more: "a".repeat(2000) } },
      ]);
      await other.storeRun("f", "r2", [
        { ...snapshot, snapshot: { ...state, more: "b".repeat(2000) } },
      ]);
      const [ofOne, ofFork] = [await other.history("t"), await one.history("f")];
      assert.equal(JSON.stringify(ofOne).includes("aaaa"), true);
      assert.equal(JSON.stringify(ofFork).includes("bbbb"), true);
      assert.deepEqual(ofOne[0], ofFork[0]);
    });
  },
};
