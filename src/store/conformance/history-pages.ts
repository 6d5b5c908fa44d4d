import assert from "node:assert/strict";
import { custom, longEvents } from "./events.ts";
import type { Section } from "./section.ts";
import { PAGE_LENGTH, run } from "./whole-runs.ts";

export const historyPages: Section = {
  title: "pages of the history",
  define(test) {
    test("many runs come in several pages, each run whole or in segments, in order", async ({
      open,
    }) => {
      const store = open();
      const events = (id: string) =>
        Array.from({ length: 5 }, (_, index) => custom(`${id} ${index} ${"x".repeat(2000)}`));
      const ids = Array.from({ length: 20 }, (_, index) => `r${index}`);
      for (const id of ids) await store.storeRun("t", id, events(id));
      assert.notEqual((await store.pages("t")).length, 1);
      assert.deepEqual(
        await store.history("t"),
        ids.map((id) => run(id, events(id))),
      );
    });

    test("a run larger than a page comes in segments, the first and the last marked", async ({
      open,
    }) => {
      const store = open();
      const events = Array.from({ length: 40 }, (_, index) => custom(`${index}`.repeat(5000)));
      await store.storeRun("t", "before", [custom(0)]);
      await store.storeRun("t", "large", events);
      await store.storeRun("t", "after", [custom(1)]);
      const segments = (await store.pages("t")).flatMap((page) => page.segments);
      const large = segments.filter(({ runId }) => runId === "large");
      assert.ok(large.length > 1);
      assert.deepEqual(
        large.map(({ first }) => first),
        large.map((_, at) => at === 0),
      );
      assert.deepEqual(
        large.map(({ last }) => last),
        large.map((_, at) => at === large.length - 1),
      );
      assert.deepEqual(await store.history("t"), [
        run("before", [custom(0)]),
        run("large", events),
        run("after", [custom(1)]),
      ]);
    });

    test("an event larger than a page comes whole", async ({ open }) => {
      const store = open();
      const events = [custom(1), custom("🙂".repeat(PAGE_LENGTH)), custom(2)];
      await store.storeRun("t", "r", events);
      await store.storeRun("t", "after", [custom(3)]);
      assert.deepEqual(await store.history("t"), [run("r", events), run("after", [custom(3)])]);
    });

    test("a page is not much larger than 64 KiB unless one event alone is", async ({ open }) => {
      const store = open();
      for (let index = 0; index < 8; index++) {
        const events = [custom("x".repeat(30_000)), custom("é".repeat(9000))];
        await store.storeRun("t", `r${index}`, events);
      }
      for (const { segments } of await store.pages("t")) {
        const lengths = segments.map(({ events }) => JSON.stringify(events).length);
        assert.ok(lengths.reduce((sum, length) => sum + length, 0) < PAGE_LENGTH + 1024);
      }
    });

    test("only the first page tells which run is live, and what has ended", async ({ open }) => {
      const store = open();
      for (const id of ["r1", "r2"]) await store.storeRun("t", id, longEvents(12, 8000));
      const mine = await store.claimed("t", "r3");
      const [first, ...later] = await store.pages("t");
      assert.deepEqual(first?.live, { runId: "r3", epoch: mine.epoch });
      assert.ok((first?.endedUpTo ?? 0) > 0);
      assert.ok(later.length > 0);
      for (const { live, endedUpTo } of later) {
        assert.deepEqual({ live, endedUpTo }, { live: null, endedUpTo: 0 });
      }
      await mine.release();
    });

    test("runs that are finished after reading began are no part of it", async ({ open }) => {
      const store = open();
      const large = longEvents(12, 8000);
      for (const id of ["r1", "r2", "r3"]) await store.storeRun("t", id, large);
      const first = await store.port.readHistory("t", null);
      assert.notEqual(first.next, null);
      await store.storeRun("t", "late");
      const later = await store.pages("t", first.next);
      const ids = [first, ...later].flatMap(({ segments }) => segments.map(({ runId }) => runId));
      assert.deepEqual([...new Set(ids)], ["r1", "r2", "r3"]);
      assert.deepEqual(await store.storedRunIds("t"), ["r1", "r2", "r3", "late"]);
    });

    test("a cursor may be used again, and several readers do not disturb each other", async ({
      open,
    }) => {
      const store = open();
      const events = longEvents(30, 5000);
      for (const id of ["r1", "r2"]) await store.storeRun("t", id, events);
      const first = await store.port.readHistory("t", null);
      const again = await store.port.readHistory("t", first.next);
      assert.deepEqual(await store.port.readHistory("t", first.next), again);
      const readers = await Promise.all(Array.from({ length: 5 }, () => store.history("t")));
      for (const read of readers) assert.deepEqual(read, [run("r1", events), run("r2", events)]);
    });
  },
};
