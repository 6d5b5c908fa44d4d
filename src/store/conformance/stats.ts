import assert from "node:assert/strict";
import type { StoreStats } from "../run-store.ts";
import type { Section } from "./section.ts";

export const flushAndStats: Section = {
  title: "flush and stats",
  define(test) {
    test("flushing an idle store, and one that was never used, resolves", async ({ open }) => {
      const store = open();
      await store.port.flush();
      await store.port.ready();
      await store.port.flush();
    });

    test("a store is not overloaded by a little, and says what it has done", async ({ open }) => {
      const store = open();
      const before = store.port.stats();
      expectIdle(before);
      assert.equal(before.batches, 0);
      await store.storeRun("t", "r");
      await store.port.flush();
      assert.equal(store.port.overloaded, false);
      const after = store.port.stats();
      expectIdle(after);
      assert.ok(after.batches > 0);
    });

    test("what is told in numbers is finite, not negative, and in order", async ({ open }) => {
      const store = open();
      expectNumbers(store.port.stats());
      assert.deepEqual(store.port.stats().batchSize, { p50: 0, p99: 0, max: 0 });
      assert.deepEqual(store.port.stats().commitMs, { p50: 0, p99: 0, max: 0 });
      const mine = await store.claimed("t", "r");
      expectNumbers(store.port.stats());
      await mine.finish();
      expectNumbers(store.port.stats());
      await store.close();
      expectNumbers(store.port.stats());
    });

    test("a store that is not overloaded is not stuck", async ({ open }) => {
      const store = open();
      assert.equal(store.port.stuck, false);
      await store.storeRun("t", "r");
      assert.equal(store.port.stuck, false);
    });

    test("ready resolves as often as it is asked", async ({ open }) => {
      const { port } = open();
      await Promise.all([port.ready(), port.ready()]);
      await port.ready();
    });
  },
};

function expectIdle({ queueDepth, queueBytes, lagMs, lastError }: StoreStats): void {
  assert.deepEqual(
    { queueDepth, queueBytes, lagMs, lastError },
    { queueDepth: 0, queueBytes: 0, lagMs: 0, lastError: null },
  );
}

function expectNumbers(stats: StoreStats): void {
  const { queueDepth, queueBytes, lagMs, batches, batchSize, commitMs, walBytes } = stats;
  const numbers = { queueDepth, queueBytes, lagMs, batches, walBytes };
  for (const [name, value] of Object.entries(numbers)) {
    assert.ok(Number.isFinite(value) && value >= 0, `${name} is ${value}`);
  }
  for (const { p50, p99, max } of [batchSize, commitMs]) {
    assert.ok(0 <= p50 && p50 <= p99 && p99 <= max && Number.isFinite(max));
  }
}
