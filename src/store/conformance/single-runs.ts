import assert from "node:assert/strict";
import type { EventLike } from "../../events/event.ts";
import type { Scope } from "../../protocol/scope.ts";
import type { HistoryCursor, HistoryPage } from "../run-store.ts";
import type { RunDetails, RunRef } from "../thread-store.ts";
import { asJson, custom, finished, longEvents, started } from "./events.ts";
import type { Section } from "./section.ts";
import type { StoreUnderTest } from "./store-under-test.ts";

const NOBODY: Scope = { resourceId: null };

async function firstPage(
  { port }: StoreUnderTest,
  run: RunRef,
  scope = NOBODY,
): Promise<HistoryPage> {
  return port.readHistory("t", null, { scope, run });
}

async function detailsOf(store: StoreUnderTest, run: RunRef): Promise<RunDetails> {
  return (await firstPage(store, run)).run ?? assert.fail(`the run ${run.epoch} is stored`);
}

/** All events of the history of one run, page by page. */
async function eventsOf(store: StoreUnderTest, run: RunRef): Promise<EventLike[]> {
  const events: EventLike[] = [];
  let cursor: HistoryCursor | null = null;
  do {
    const page: HistoryPage = await store.port.readHistory("t", cursor, { scope: NOBODY, run });
    for (const segment of page.segments) events.push(...segment.events.map(asJson));
    cursor = page.next;
  } while (cursor !== null);
  return events;
}

/** The epochs of the stored runs, oldest first. */
async function epochsOf({ port }: StoreUnderTest): Promise<number[]> {
  const page = await port.threads?.runs("t", {}, NOBODY);
  return page?.runs.map(({ epoch }) => epoch) ?? [];
}

export const singleRuns: Section = {
  title: "reading one run",
  needs: ["threads"],
  define(test) {
    test("a run is found by its epoch, with its neighbours, whatever its id", async ({ open }) => {
      const store = open();
      await store.storeRun("t", "same", [custom("first")]);
      await store.storeRun("t", "same", [started("t", "same", []), finished("t", "same")]);
      const failure = { type: "RUN_ERROR", message: "no", code: "NO_MODEL" };
      await store.storeRun("t", "other", [custom("third"), failure]);
      const [first = 0, second = 0, third = 0] = await epochsOf(store);
      assert.deepEqual(await eventsOf(store, { epoch: first }), [custom("first")]);
      assert.deepEqual(await eventsOf(store, { epoch: third }), [custom("third"), failure]);
      const { runId, outcome, previous, next } = await detailsOf(store, { epoch: second });
      assert.deepEqual([runId, outcome], ["same", "finished"]);
      assert.deepEqual(previous, { epoch: first, runId: "same" });
      assert.deepEqual(next, { epoch: third, runId: "other" });
      assert.equal((await detailsOf(store, { epoch: first })).previous, null);
      const last = await detailsOf(store, { epoch: third, runId: "other" });
      assert.deepEqual([last.next, last.errorCode], [null, "NO_MODEL"]);
      const { runs } = (await store.port.threads?.runs("t", {}, NOBODY)) ?? { runs: [] };
      const { previous: _, next: __, tokens, ...summary } = last;
      assert.equal(tokens, null);
      assert.deepEqual(runs.at(-1), summary);
    });

    test("a long run has several pages, and none of them has another run", async ({ open }) => {
      const store = open();
      const events = longEvents(100, 5000);
      await store.storeRun("t", "before");
      await store.storeRun("t", "long", events);
      await store.storeRun("t", "behind");
      const [, epoch = 0] = await epochsOf(store);
      assert.notEqual((await firstPage(store, { epoch })).next, null);
      assert.deepEqual(await eventsOf(store, { epoch }), events);
    });

    test("a run that is not stored, or of another, has no events", async ({ open }) => {
      const store = open();
      await store.storeRun("t", "r");
      const [epoch = 0] = await epochsOf(store);
      for (const run of [{ epoch: epoch + 1 }, { epoch: 0 }, { epoch, runId: "other" }]) {
        const { run: found, segments, next } = await firstPage(store, run);
        assert.deepEqual([found, segments, next], [null, [], null]);
      }
      const { run, segments } = await firstPage(store, { epoch }, { resourceId: "ann" });
      assert.deepEqual([run, segments], [null, []]);
      const unknown = await store.port.readHistory("unknown", null, { run: { epoch } });
      assert.deepEqual([unknown.run, unknown.segments], [null, []]);
    });

    test("the views around a run show the thread before it and after it", async ({ open }) => {
      const store = open();
      const { readView } = store.port;
      if (readView === undefined) return;
      const state = (count: number) => [{ type: "STATE_SNAPSHOT", snapshot: { count } }];
      for (const count of [1, 2, 3]) await store.storeRun("t", `r${count}`, state(count));
      const [, epoch = 0] = await epochsOf(store);
      const { views } = await firstPage(store, { epoch });
      const { before, end } = views ?? assert.fail("the page has views");
      assert.deepEqual((await readView("t", end)).state, { count: 2 });
      const earlier = await readView("t", before ?? assert.fail("there is a run before it"));
      assert.deepEqual(earlier.state, { count: 1 });
    });

    test("a run that executes is not stored, and is told as the live run", async ({ open }) => {
      const store = open();
      await store.storeRun("t", "r");
      const run = await store.claimed("t", "live");
      const page = await firstPage(store, { epoch: run.epoch });
      assert.equal(page.run, null);
      assert.deepEqual(page.live, { runId: "live", epoch: run.epoch });
      await run.finish();
      assert.equal((await detailsOf(store, { epoch: run.epoch })).runId, "live");
    });
  },
};
