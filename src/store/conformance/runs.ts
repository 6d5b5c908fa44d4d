import assert from "node:assert/strict";
import { custom } from "./events.ts";
import { expectRefusal } from "./expectations.ts";
import type { Section } from "./section.ts";
import { run } from "./whole-runs.ts";

export const runs: Section = {
  title: "append, finish and release",
  define(test) {
    test("a run holds its thread from its claim until it is finished", async ({ open }) => {
      const store = open();
      assert.equal(await store.port.runningRun("t"), null);
      const mine = await store.claimed("t", "r");
      assert.equal((await store.port.runningRun("t"))?.runId, "r");
      assert.equal(await store.port.runningRun("other"), null);
      await mine.finish();
      assert.equal(await store.port.runningRun("t"), null);
    });

    test("a run is no part of the history before it is finished, and is when it is", async ({
      open,
    }) => {
      const store = open();
      const mine = await store.claimed("t", "r");
      mine.append(custom(1));
      await store.port.flush();
      assert.deepEqual(await store.history("t"), []);
      await mine.finish();
      assert.deepEqual(await store.history("t"), [run("r", [custom(1)])]);
    });

    test("events keep their order, however often the store was flushed between them", async ({
      open,
    }) => {
      const store = open();
      const mine = await store.claimed("t", "r");
      const events = Array.from({ length: 60 }, (_, index) => custom(index));
      for (const [index, event] of events.entries()) {
        mine.append(event);
        if (index % 7 === 0) await store.port.flush();
      }
      await mine.finish();
      assert.deepEqual(await store.history("t"), [run("r", events)]);
    });

    test("what is stored is the event as it was when it was appended", async ({ open }) => {
      const store = open();
      const mine = await store.claimed("t", "r");
      const event = { type: "CUSTOM", name: "n", value: { at: "append" } };
      mine.append(event);
      event.value.at = "later";
      await mine.finish();
      assert.deepEqual(await store.history("t"), [run("r", [custom({ at: "append" })])]);
    });

    test("appending returns at once, and changes nothing about the event", async ({ open }) => {
      const store = open();
      const mine = await store.claimed("t", "r");
      const event = Object.freeze(custom(Object.freeze({ deep: true })));
      const returned: unknown = mine.append(event);
      assert.equal(returned, undefined);
      await mine.finish();
      assert.deepEqual(await store.history("t"), [run("r", [custom({ deep: true })])]);
    });

    test("a run without events can be stored", async ({ open }) => {
      const store = open();
      const mine = await store.claimed("t", "r");
      await mine.finish();
      assert.deepEqual(await store.history("t"), [run("r", [])]);
      assert.equal(await store.port.runningRun("t"), null);
    });

    test("a run that was released leaves nothing: no history, no holder, and a free id", async ({
      open,
    }) => {
      const store = open();
      const mine = await store.claimed("t", "r");
      mine.append(custom(1));
      await store.port.flush();
      mine.append(custom(2));
      await mine.release();
      assert.deepEqual(await store.history("t"), []);
      assert.equal(await store.port.runningRun("t"), null);
      await store.storeRun("t", "r", [custom(3)]);
      assert.deepEqual(await store.history("t"), [run("r", [custom(3)])]);
    });

    test("releasing twice is releasing once, whoever has the thread by then", async ({ open }) => {
      const store = open();
      const first = await store.claimed("t", "r1");
      await first.release();
      const second = await store.claimed("t", "r2");
      await first.release();
      assert.equal((await store.port.runningRun("t"))?.runId, "r2");
      await second.finish();
    });

    test("a run that was released cannot be stored any more", async ({ open }) => {
      const store = open();
      const first = await store.claimed("t", "r1");
      await first.release();
      await expectRefusal(first.finish(), { code: "LEASE_LOST" });
      assert.deepEqual(await store.history("t"), []);
    });
  },
};
