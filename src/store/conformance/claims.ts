import assert from "node:assert/strict";
import { custom } from "./events.ts";
import { expectInterrupted, expectRefusal } from "./expectations.ts";
import type { Section } from "./section.ts";
import { run } from "./whole-runs.ts";

export const claims: Section = {
  title: "claims",
  define(test) {
    test("a thread without a run can be claimed", async ({ open }) => {
      const outcome = await open().claim("t", "r");
      assert.equal(outcome.kind, "claimed");
    });

    test("each claim of a thread has a higher epoch than those before it", async ({ open }) => {
      const store = open();
      const epochs: number[] = [];
      for (const [at, end] of ["finish", "release", "finish"].entries()) {
        const mine = await store.claimed("t", `r${at}`);
        epochs.push(mine.epoch);
        if (end === "finish") await mine.finish();
        else await mine.release();
      }
      const ascending = [...new Set(epochs)].sort((a, b) => a - b);
      assert.deepEqual(epochs, ascending);
    });

    test("claims of one thread are answered in the order in which they were made", async ({
      open,
    }) => {
      const store = open();
      const answered: number[] = [];
      const outcomes = await Promise.all(
        [0, 1, 2, 3].map(async (number) => {
          const outcome = await store.claim("t", `r${number}`);
          answered.push(number);
          return outcome;
        }),
      );
      assert.deepEqual(answered, [0, 1, 2, 3]);
      assert.equal(outcomes[0]?.kind, "claimed");
      const epochs = outcomes.flatMap((it) => (it.kind === "claimed" ? [it.run.epoch] : []));
      assert.deepEqual(
        epochs,
        [...new Set(epochs)].sort((a, b) => a - b),
      );
    });

    test("a claim that was made behind a finish finds the thread free", async ({ open }) => {
      const store = open();
      const first = await store.claimed("t", "r1");
      first.append(custom(1));
      const finishing = first.finish();
      const outcome = await store.claim("t", "r2");
      assert.equal(outcome.kind, "claimed");
      await finishing;
    });

    test("a claim that was made behind a finish knows the messages of that run", async ({
      open,
    }) => {
      const store = open();
      const first = await store.claimed("t", "r1");
      first.append({ type: "TEXT_MESSAGE_START", messageId: "m1", role: "assistant" });
      first.append({ type: "TEXT_MESSAGE_END", messageId: "m1" });
      const finishing = first.finish();
      const outcome = await store.claim("t", "r2", { messageIds: ["m1", "m2"] });
      assert.equal(outcome.kind, "claimed");
      assert.deepEqual(outcome.seen, [true, false]);
      await finishing;
    });

    test("a claim that was made behind a release finds the thread free", async ({ open }) => {
      const store = open();
      const first = await store.claimed("t", "r1");
      const releasing = first.release();
      assert.equal((await store.claim("t", "r2")).kind, "claimed");
      await releasing;
    });

    test("many threads are held at once, and are finished in any order", async ({ open }) => {
      const store = open();
      const ids = Array.from({ length: 200 }, (_, index) => `${index}`);
      const held = await Promise.all(ids.map((id) => store.claimed(`t${id}`, `r${id}`)));
      for (const [index, mine] of held.entries()) mine.append(custom(index));
      await Promise.all(held.toReversed().map((mine) => mine.finish()));
      for (const [index, id] of ids.entries()) {
        assert.deepEqual(await store.history(`t${id}`), [run(`r${id}`, [custom(index)])]);
      }
    });

    test("of two runs on a thread at most one is stored", async ({ open }) => {
      const store = open();
      const first = await store.claimed("t", "r1");
      first.append(custom(1));
      const second = await store.claim("t", "r2");
      const outcomes = await Promise.allSettled([
        first.finish(),
        second.kind === "claimed" ? second.run.finish() : Promise.reject(second),
      ]);
      assert.deepEqual(outcomes.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
    });

    test("a claim ends a run of its own store that was never given back, and gets the thread", async ({
      open,
    }) => {
      const store = open();
      const orphan = await store.claimed("t", "r1");
      orphan.append(custom(1));
      await store.port.flush();
      const next = await store.claimed("t", "r2");
      await expectRefusal(orphan.finish(), { code: "LEASE_LOST" });
      await next.finish();
      const [first, second] = await store.history("t");
      assert.equal(first?.runId, "r1");
      assert.deepEqual(first.events[0], custom(1));
      expectInterrupted(first.events.slice(1));
      assert.deepEqual(second, run("r2", []));
    });
  },
};
