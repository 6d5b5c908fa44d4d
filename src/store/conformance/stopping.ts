import assert from "node:assert/strict";
import type { Section } from "./section.ts";

export const stopping: Section = {
  title: "stopping and superseding a run of another store",
  needs: ["severalInstances"],
  define(test) {
    test("a run is told to stop by the other, once, and counts as running no more", async ({
      open,
    }) => {
      const [one, other] = [open(), open()];
      await other.port.ready();
      const mine = await one.claimedToBeStopped("t", "r");
      assert.equal(await other.port.requestStop("t", "another"), false);
      assert.equal(await other.port.requestStop("elsewhere", null), false);
      // What is asked of one's own run is not asked of the store.
      assert.equal(await one.port.requestStop("t", "r"), false);
      assert.equal((await other.port.runningRun("t"))?.runId, "r");
      assert.equal(await other.port.requestStop("t", "r"), true);
      assert.equal((await mine.asked).discard, false);
      assert.equal(await other.port.runningRun("t"), null);
      assert.equal(await other.port.requestStop("t", null), false);
      await mine.run.finish();
      assert.equal(await other.port.requestStop("t", null), false);
      // The next run of the thread has nothing to do with it.
      const next = await one.claimed("t", "r2");
      assert.equal((await other.port.runningRun("t"))?.runId, "r2");
      await next.release();
    });

    test("a claim that supersedes has the other's run end, and gets the thread then", async ({
      open,
    }) => {
      const [one, other] = [open(), open()];
      await other.port.ready();
      const mine = await one.claimedToBeStopped("t", "r1");
      const refused = await other.claim("t", "r2", { supersede: () => true });
      assert.equal(refused.kind, "refused");
      assert.equal(refused.code, "THREAD_ALREADY_RUNNING");
      assert.equal((await mine.asked).discard, true);
      const free = other.released("t");
      await mine.run.release();
      await free;
      assert.equal((await other.claim("t", "r2", { supersede: () => true })).kind, "claimed");
    });

    test("a claim that was given up before its refusal came ends no run", async ({ open }) => {
      const [one, other] = [open(), open()];
      await other.port.ready();
      // This run would note that it was asked to stop.
      const mine = await one.claimed("t", "r1");
      let asked = 0;
      const supersede = () => ++asked > 1;
      const refused = await other.claim("t", "r2", { supersede });
      assert.equal(refused.kind, "refused");
      assert.equal(asked, 1);
      assert.equal((await other.port.runningRun("t"))?.runId, "r1");
      await mine.finish();
    });

    test("one waits for a thread until it is free, or until it no longer wants to", async ({
      open,
    }) => {
      const [one, other] = [open(), open()];
      await other.port.ready();
      await other.released("t");
      const mine = await one.claimed("t", "r");
      const left = new AbortController();
      const leaving = other.released("t", left.signal);
      const waiting = other.released("t");
      left.abort();
      await leaving;
      await mine.finish();
      await waiting;
      assert.equal((await other.claim("t", "r2")).kind, "claimed");
    });
  },
};
