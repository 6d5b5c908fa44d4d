import assert from "node:assert/strict";
import { custom, longEvents, started } from "./events.ts";
import { expectRefusal } from "./expectations.ts";
import type { Section } from "./section.ts";
import { run } from "./whole-runs.ts";

export const repeatedRunIds: Section = {
  title: "a run id that comes again",
  define(test) {
    test("on its thread, once the run that had it is over: both are kept, under that id", async ({
      open,
    }) => {
      const store = open();
      for (const value of [1, 2, 3]) await store.storeRun("t", "r", [custom(value)]);
      assert.deepEqual(
        await store.history("t"),
        [1, 2, 3].map((value) => run("r", [custom(value)])),
      );
    });

    test("behind a finish that is not stored yet", async ({ open }) => {
      const store = open();
      const first = await store.claimed("t", "r");
      first.append(custom(1));
      await store.port.flush();
      const finishing = first.finish();
      const second = await store.claimed("t", "r");
      second.append(custom(2));
      await Promise.all([finishing, second.finish()]);
      assert.deepEqual(await store.history("t"), [run("r", [custom(1)]), run("r", [custom(2)])]);
    });

    test("after a release: nothing of the run before it is found in the second", async ({
      open,
    }) => {
      const store = open();
      const first = await store.claimed("t", "r");
      first.append(custom(1));
      await store.port.flush();
      await first.release();
      const second = await store.claimed("t", "r");
      second.append(custom(2));
      await store.port.flush();
      // What the first one says late is not about the second.
      await first.release();
      assert.deepEqual(await store.port.runningRun("t"), { runId: "r", epoch: second.epoch });
      second.append(custom(3));
      await second.finish();
      await expectRefusal(first.finish(), { code: "LEASE_LOST" });
      assert.deepEqual(await store.history("t"), [run("r", [custom(2), custom(3)])]);
    });

    test("on many threads at once, in flight and stored", async ({ open }) => {
      const store = open();
      const threads = Array.from({ length: 30 }, (_, at) => `t${at}`);
      for (const turn of [1, 2]) {
        const held = await Promise.all(threads.map((threadId) => store.claimed(threadId, "r")));
        for (const [at, mine] of held.entries()) mine.append(custom(`${at} ${turn} a`));
        await store.port.flush();
        for (const [at, mine] of held.entries()) mine.append(custom(`${at} ${turn} b`));
        await Promise.all(held.map((mine) => mine.finish()));
      }
      for (const [at, threadId] of threads.entries()) {
        const said = (turn: number) => [custom(`${at} ${turn} a`), custom(`${at} ${turn} b`)];
        assert.deepEqual(await store.history(threadId), [run("r", said(1)), run("r", said(2))]);
      }
    });

    test("its messages are known on the threads that have them, and on no other", async ({
      open,
    }) => {
      const store = open();
      await store.storeRun("t1", "r", [started("t1", "r", ["a"])]);
      await store.storeRun("t2", "r", [started("t2", "r", ["b"])]);
      await store.storeRun("t1", "r", [started("t1", "r", ["c"])]);
      assert.deepEqual(await store.seen("t1", "r", ["a", "b", "c"]), [true, false, true]);
      assert.deepEqual(await store.seen("t2", "r", ["a", "b", "c"]), [false, true, false]);
    });

    test("a run of several pages among others of its id comes whole, and in its place", async ({
      open,
    }) => {
      const store = open();
      const large = longEvents(40, 5000);
      for (const events of [[custom(1)], large, [custom(2)]]) {
        await store.storeRun("t", "r", events);
      }
      assert.deepEqual(
        await store.history("t"),
        [[custom(1)], large, [custom(2)]].map((events) => run("r", events)),
      );
    });
  },
};
