import assert from "node:assert/strict";
import type { Scope } from "../../protocol/scope.ts";
import type { Section } from "./section.ts";

const ANN: Scope = { resourceId: "ann" };
const BOB: Scope = { resourceId: "bob" };
const NOBODY: Scope = { resourceId: null };

export const resources: Section = {
  title: "threads of resources",
  needs: ["resources"],
  define(test) {
    test("the store says that it keeps them apart", async ({ open }) => {
      assert.equal(open().port.hasResources, true);
    });

    test("the first claim gives a thread to its resource, and others are refused", async ({
      open,
    }) => {
      const store = open();
      const run = await store.claimed("t", "r", { resourceId: "ann" });
      for (const resourceId of ["bob", null, "ANN", "ann ", "ann\0"]) {
        for (const supersede of [() => false, () => true]) {
          const outcome = await store.claim("t", "r2", { resourceId, supersede });
          assert.equal(outcome.kind, "refused");
          assert.equal(outcome.code, "THREAD_NOT_FOUND");
        }
      }
      await run.finish();
      const later = await store.claim("t", "r2", { resourceId: "bob" });
      assert.equal(later.kind, "refused");
      assert.equal((await store.claim("t", "r2", { resourceId: "ann" })).kind, "claimed");
    });

    test("of claims for two resources at once, one is granted", async ({ open }) => {
      const store = open();
      const outcomes = await Promise.all(
        ["ann", "bob", null].map((resourceId) => store.claim("t", "r", { resourceId })),
      );
      assert.deepEqual(
        outcomes.map((outcome) => (outcome.kind === "claimed" ? "claimed" : outcome.code)),
        ["claimed", "THREAD_NOT_FOUND", "THREAD_NOT_FOUND"],
      );
    });

    test("a thread of nobody is for nobody alone", async ({ open }) => {
      const store = open();
      await store.storeRun("t", "r");
      const refused = await store.claim("t", "r2", { resourceId: "ann" });
      assert.equal(refused.kind, "refused");
      assert.equal((await store.claim("t", "r2", { resourceId: null })).kind, "claimed");
    });

    test("a thread whose only run was released belongs to no resource any more", async ({
      open,
    }) => {
      const store = open();
      const run = await store.claimed("t", "r", { resourceId: "ann" });
      await run.release();
      assert.equal((await store.claim("t", "r2", { resourceId: "bob" })).kind, "claimed");
    });

    test("a history is empty for others, whether its run executes or is stored", async ({
      open,
    }) => {
      const store = open();
      const run = await store.claimed("t", "r", { resourceId: "ann" });
      const first = async (scope?: Scope) => {
        const { segments, live, endedUpTo } = await store.port.readHistory("t", null, { scope });
        return { runs: segments.map(({ runId }) => runId), live: live?.runId ?? null, endedUpTo };
      };
      const unknown = { runs: [], live: null, endedUpTo: 0 };
      for (const scope of [BOB, NOBODY, undefined]) assert.deepEqual(await first(scope), unknown);
      assert.equal((await first(ANN)).live, "r");
      assert.equal((await first("every")).live, "r");
      run.append({ type: "CUSTOM", name: "n", value: 1 });
      await run.finish();
      for (const scope of [BOB, NOBODY, undefined]) assert.deepEqual(await first(scope), unknown);
      assert.deepEqual((await first(ANN)).runs, ["r"]);
      assert.deepEqual((await first("every")).runs, ["r"]);
    });

    test("it is another's for all but its resource, and an unknown thread is nobody else's", async ({
      open,
    }) => {
      const store = open();
      const isOthers = (scope: Scope) => store.port.isOthers?.("t", scope);
      for (const scope of [ANN, BOB, NOBODY]) assert.equal(await isOthers(scope), false);
      const run = await store.claimed("t", "r", { resourceId: "ann" });
      for (const scope of [BOB, NOBODY]) assert.equal(await isOthers(scope), true);
      for (const scope of [ANN, "every"] as const) assert.equal(await isOthers(scope), false);
      await run.finish();
      for (const scope of [BOB, NOBODY]) assert.equal(await isOthers(scope), true);
      for (const scope of [ANN, "every"] as const) assert.equal(await isOthers(scope), false);
    });

    test("only its resource hears that a run holds the thread", async ({ open }) => {
      const store = open();
      const run = await store.claimed("t", "r", { resourceId: "ann" });
      for (const scope of [BOB, NOBODY, undefined]) {
        assert.equal(await store.port.runningRun("t", scope), null);
      }
      assert.equal((await store.port.runningRun("t", ANN))?.runId, "r");
      assert.equal((await store.port.runningRun("t", "every"))?.runId, "r");
      await run.release();
    });
  },
};

export const resourcesOfSeveralInstances: Section = {
  title: "threads of resources, in several stores",
  needs: ["severalInstances", "resources"],
  define(test) {
    test("only its resource can stop a run of another store", async ({ open }) => {
      const [one, other] = [open(), open()];
      await other.port.ready();
      const asked = Promise.withResolvers<void>();
      const onStopRequested = () => asked.resolve();
      const run = await one.claimed("t", "r", { resourceId: "ann", onStopRequested });
      for (const scope of [BOB, NOBODY, undefined]) {
        assert.equal(await other.port.requestStop("t", null, scope), false);
      }
      const superseding = await other.claim("t", "r2", {
        resourceId: "bob",
        supersede: () => true,
      });
      assert.equal(superseding.kind, "refused");
      assert.equal((await other.port.runningRun("t", ANN))?.runId, "r");
      assert.equal(await other.port.requestStop("t", null, ANN), true);
      await asked.promise;
      await run.finish();
    });

    test("a thread belongs to a resource in each of them", async ({ open }) => {
      const [one, other] = [open(), open()];
      const run = await one.claimed("t", "r", { resourceId: "ann" });
      await run.finish();
      assert.equal((await other.claim("t", "r2", { resourceId: "bob" })).kind, "refused");
      const next = await other.claimed("t", "r2", { resourceId: "ann" });
      await next.finish();
      assert.equal((await one.claim("t", "r3", { resourceId: null })).kind, "refused");
      assert.equal((await one.claim("t", "r3", { resourceId: "ann" })).kind, "claimed");
    });
  },
};
