import assert from "node:assert/strict";
import { custom, finished, started } from "./events.ts";
import type { Section } from "./section.ts";
import { run } from "./whole-runs.ts";

export const severalInstances: Section = {
  title: "several stores on the same data",
  needs: ["severalInstances"],
  define(test) {
    test("a thread that one of them holds is refused to the other", async ({ open }) => {
      const [one, other] = [open(), open()];
      const mine = await one.claimed("t", "r1");
      const outcome = await other.claim("t", "r2");
      assert.equal(outcome.kind, "refused");
      assert.equal(outcome.code, "THREAD_ALREADY_RUNNING");
      assert.match(outcome.message, /\S/);
      assert.equal((await other.port.runningRun("t"))?.runId, "r1");
      await mine.finish();
      assert.equal((await other.claim("t", "r2")).kind, "claimed");
      assert.equal((await one.port.runningRun("t"))?.runId, "r2");
    });

    test("both may use one run id at once, on different threads", async ({ open }) => {
      const [one, other] = [open(), open()];
      const first = await one.claimed("t1", "r");
      const second = await other.claimed("t2", "r");
      first.append(custom(1));
      second.append(custom(2));
      await Promise.all([one.port.flush(), other.port.flush()]);
      await Promise.all([first.finish(), second.finish()]);
      assert.deepEqual(await other.history("t1"), [run("r", [custom(1)])]);
      assert.deepEqual(await one.history("t2"), [run("r", [custom(2)])]);
    });

    test("of many claims of one thread at once, exactly one gets it", async ({ open }) => {
      const [one, other] = [open(), open()];
      await Promise.all([one.port.ready(), other.port.ready()]);
      const outcomes = await Promise.all([one.claim("t", "r1"), other.claim("t", "r2")]);
      assert.deepEqual(outcomes.map(({ kind }) => kind).sort(), ["claimed", "refused"]);
    });

    test("each claim has a higher epoch than those before it, in whichever store", async ({
      open,
    }) => {
      const stores = [open(), open()];
      const epochs: number[] = [];
      for (const store of [...stores, ...stores]) {
        const mine = await store.claimed("t", "r");
        epochs.push(mine.epoch);
        await mine.release();
      }
      const ascending = [...new Set(epochs)].sort((a, b) => a - b);
      assert.deepEqual(epochs, ascending);
    });

    test("what one of them stored is history and seen in the other", async ({ open }) => {
      const [one, other] = [open(), open()];
      await other.port.ready();
      await one.storeRun("t", "r1", [started("t", "r1", ["a"]), finished("t", "r1")]);
      assert.deepEqual(await other.storedRunIds("t"), ["r1"]);
      assert.deepEqual(await other.seen("t", "r2", ["a", "b"]), [true, false]);
    });

    test("the run that one of them holds is live in the other's history", async ({ open }) => {
      const [one, other] = [open(), open()];
      await one.storeRun("t", "r1");
      const mine = await one.claimed("t", "r2");
      const page = await other.port.readHistory("t", null);
      assert.deepEqual(
        page.segments.map(({ runId }) => runId),
        ["r1"],
      );
      assert.deepEqual(page.live, { runId: "r2", epoch: mine.epoch });
      assert.equal((await other.port.readHistory("elsewhere", null)).live, null);
      await mine.finish();
      assert.equal((await other.port.readHistory("t", null)).live, null);
    });
  },
};
