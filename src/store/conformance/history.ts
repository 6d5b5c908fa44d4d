import assert from "node:assert/strict";
import { setImmediate as nextTask } from "node:timers/promises";
import { custom } from "./events.ts";
import type { Section } from "./section.ts";
import type { StoreUnderTest, TestRun } from "./store-under-test.ts";
import { run } from "./whole-runs.ts";

export const history: Section = {
  title: "history",
  define(test) {
    test("an unknown thread has one empty page", async ({ open }) => {
      const page = await open().port.readHistory("t", null);
      const { segments, next, live, endedUpTo } = page;
      const empty = { segments: [], next: null, live: null, endedUpTo: 0 };
      assert.deepEqual({ segments, next, live, endedUpTo }, empty);
    });

    test("says up to which epoch runs are over, stored or not", async ({ open }) => {
      const store = open();
      const isOver = async ({ epoch }: TestRun) =>
        (await store.port.readHistory("t", null)).endedUpTo >= epoch;
      const first = await store.claimed("t", "r");
      assert.equal(await isOver(first), false);
      await first.finish();
      assert.equal(await isOver(first), true);
      const second = await store.claimed("t", "r");
      assert.equal(await isOver(second), false);
      await second.release();
      assert.equal(await isOver(second), true);
    });

    test("names a run of this store as live only when its claim was answered", async ({ open }) => {
      const store = open();
      await store.port.ready();
      for (let turn = 0; turn < 60; turn++) {
        let epoch: number | null = null;
        const claiming = store.claimed("t", "r").then((mine) => {
          epoch = mine.epoch;
          return mine;
        });
        const looks = [0, 1].map(() => firstLive(store, () => epoch));
        for (const { live, answered } of await Promise.all(looks)) assert.equal(answered, live);
        await (await claiming).release();
      }
    });

    test("of runs up to that epoch it holds all that is kept, and nothing of later ones", async ({
      open,
    }) => {
      const store = open();
      const ended: number[] = [];
      for (let turn = 0; turn < 20; turn++) {
        const mine = await store.claimed("t", `r${turn}`);
        const finishing = mine.finish();
        // While it is being stored: one says that it is over if and only if the other has it.
        const page = await store.port.readHistory("t", null);
        const isOver = page.endedUpTo >= mine.epoch;
        assert.equal(page.segments.at(-1)?.runId === `r${turn}`, isOver);
        assert.equal(page.live === null, isOver);
        await finishing;
        ended.push(page.endedUpTo);
      }
      assert.deepEqual(
        ended,
        ended.toSorted((a, b) => a - b),
      );
    });

    test("runs come in the order in which they were finished", async ({ open }) => {
      const store = open();
      for (const id of ["c", "a", "b"]) await store.storeRun("t", id, [custom(id)]);
      assert.deepEqual(
        await store.history("t"),
        ["c", "a", "b"].map((id) => run(id, [custom(id)])),
      );
    });

    test("threads do not mix", async ({ open }) => {
      const store = open();
      await store.storeRun("t1", "r1");
      await store.storeRun("t2", "r2");
      await store.storeRun("t1", "r3");
      assert.deepEqual(await store.storedRunIds("t1"), ["r1", "r3"]);
      assert.deepEqual(await store.storedRunIds("t2"), ["r2"]);
    });
  },
};

/** Reads until a run is live. `answered` gives the epoch of the claim once it was answered. */
async function firstLive(store: StoreUnderTest, answered: () => number | null) {
  for (;;) {
    const before = answered();
    const { live } = await store.port.readHistory("t", null);
    if (live !== null) return { live: live.epoch, answered: answered() };
    assert.equal(before, null, "a run whose claim was answered is live");
    await nextTask();
  }
}
