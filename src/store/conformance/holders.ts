import assert from "node:assert/strict";
import type { Scope } from "../../protocol/scope.ts";
import type { Holders, HoldersQuery } from "../thread-store.ts";
import { custom } from "./events.ts";
import type { Section } from "./section.ts";
import type { StoreUnderTest } from "./store-under-test.ts";

const NOBODY: Scope = { resourceId: null };
const ANN: Scope = { resourceId: "ann" };

async function holders(
  { port }: StoreUnderTest,
  query: HoldersQuery = {},
  scope: Scope = "every",
): Promise<Holders> {
  if (port.threads === undefined) assert.fail("the store has threads");
  return port.threads.holders(query, scope);
}

const idsOf = ({ held }: Holders) => held.map(({ threadId }) => threadId);

export const threadHolders: Section = {
  title: "who holds what",
  needs: ["threads"],
  define(test) {
    test("a run holds its thread from its claim until its end", async ({ open }) => {
      const store = open();
      const before = Date.now() - 60_000;
      const run = await store.claimed("t", "r");
      const { held, heldTotal, instances } = await holders(store);
      assert.deepEqual([held.length, heldTotal, instances.length], [1, 1, 1]);
      const [first] = held;
      const [own] = instances;
      assert.deepEqual(
        [first?.threadId, first?.runId, first?.epoch, first?.stop, first?.isAlive],
        ["t", "r", run.epoch, "none", true],
      );
      assert.ok((first?.claimedAt ?? 0) > before, "it says when");
      assert.deepEqual([own?.isOwn, own?.isAlive, own?.held], [true, true, 1]);
      assert.equal(first?.instanceId, own?.id);
      assert.ok((own?.seenAt ?? 0) > before && (own?.leaseMs ?? 0) > 0);
      await run.finish();
      const after = await holders(store);
      assert.deepEqual([after.held, after.heldTotal], [[], 0]);
      assert.equal(after.instances[0]?.held, 0);
    });

    test("journals are counted, each with its run", async ({ open }) => {
      const store = open();
      const run = await store.claimed("t", "r");
      const other = await store.claimed("u", "r");
      for (let at = 0; at < 3; at++) {
        run.append(custom("x".repeat(1000)));
        await store.port.flush();
      }
      const { held, journals } = await holders(store);
      const byId = new Map(held.map(({ threadId, journal }) => [threadId, journal]));
      const journal = byId.get("t") ?? assert.fail("the journal is told");
      assert.ok(journal.segments >= 3 && journal.bytes > 3000, "it has three events");
      assert.equal(byId.get("u")?.bytes, 0);
      assert.ok((journals?.bytes ?? 0) >= journal.bytes);
      await Promise.all([run.release(), other.release()]);
    });

    test("only threads of the scope, and instances only for operators", async ({ open }) => {
      const store = open();
      const runs = [
        await store.claimed("of-ann", "r", { resourceId: "ann" }),
        await store.claimed("of-nobody", "r"),
      ];
      assert.deepEqual(idsOf(await holders(store)), ["of-ann", "of-nobody"]);
      assert.deepEqual(idsOf(await holders(store, {}, NOBODY)), ["of-nobody"]);
      const own = await holders(store, {}, ANN);
      assert.deepEqual(idsOf(own), ["of-ann"]);
      assert.deepEqual([own.instances, own.journals, own.heldTotal], [[], null, 1]);
      for (const [threadId, scope, expected] of [
        ["of-ann", ANN, ["of-ann"]],
        ["of-ann", NOBODY, []],
        ["of-ann", "every", ["of-ann"]],
        ["unknown", "every", []],
      ] as const) {
        const one = await holders(store, { threadId }, scope);
        assert.deepEqual([idsOf(one), one.heldTotal], [expected, expected.length]);
      }
      await Promise.all(runs.map((run) => run.release()));
    });

    test("a limit leaves the threads out that were claimed last", async ({ open }) => {
      const store = open();
      const ids = ["a", "b", "c", "d"];
      const runs = await Promise.all(ids.map((id) => store.claimed(id, "r")));
      const all = await holders(store);
      const some = await holders(store, { limit: 2 });
      assert.deepEqual(idsOf(some), idsOf(all).slice(0, 2));
      assert.equal(some.heldTotal, 4);
      await Promise.all(runs.map((run) => run.release()));
    });
  },
};

export const holdersOfSeveralInstances: Section = {
  title: "who holds what, in several stores",
  needs: ["threads", "severalInstances"],
  define(test) {
    test("each store is an instance, and a request to stop is told", async ({ open }) => {
      const [one, other] = [open(), open()];
      const run = await one.claimed("t", "r", { onStopRequested: () => undefined });
      await other.port.ready();
      const seen = await holders(other);
      assert.equal(seen.instances.length, 2);
      const [held] = seen.held;
      const owner = seen.instances.find(({ id }) => id === held?.instanceId);
      assert.deepEqual([owner?.isOwn, owner?.isAlive, owner?.held], [false, true, 1]);
      assert.equal(held?.isAlive, true);
      assert.equal(await other.port.requestStop("t", null, "every"), true);
      const stopped = await holders(other, { threadId: "t" });
      assert.equal(stopped.held[0]?.stop, "asked");
      await run.finish();
      assert.deepEqual((await holders(other)).held, []);
    });
  },
};
