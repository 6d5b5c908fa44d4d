import assert from "node:assert/strict";
import { custom, finished, started } from "./events.ts";
import { expectInterrupted } from "./expectations.ts";
import type { Section } from "./section.ts";
import { run } from "./whole-runs.ts";

export const restart: Section = {
  title: "a store that is opened on the data of another",
  needs: ["restart"],
  define(test) {
    test("finds what was waiting when that one was closed", async ({ open }) => {
      const one = open();
      const mine = await one.claimed("t", "r");
      mine.append(custom(1));
      const finishing = mine.finish();
      await one.close();
      await finishing;
      assert.deepEqual(await open().history("t"), [run("r", [custom(1)])]);
    });

    test("does not find what was appended after that one was closed", async ({ open }) => {
      const one = open();
      const mine = await one.claimed("t", "r");
      mine.append(custom(1));
      await one.close();
      mine.append(custom(2));
      const [only] = await open().history("t");
      assert.deepEqual(only?.events[0], custom(1));
      expectInterrupted(only.events.slice(1));
    });

    test("knows the messages of that one, and counts epochs on", async ({ open }) => {
      const one = open();
      await one.storeRun("t", "r1", [started("t", "r1", ["a"]), finished("t", "r1")]);
      const last = await one.claimed("t", "r2");
      await last.release();
      await one.close();
      const next = open();
      const outcome = await next.claim("t", "r3", { messageIds: ["a", "b"] });
      assert.equal(outcome.kind, "claimed");
      assert.deepEqual(outcome.seen, [true, false]);
      assert.ok(outcome.run.epoch > last.epoch);
      assert.ok((await next.port.readHistory("t", null)).endedUpTo >= last.epoch);
      await outcome.run.release();
    });

    test("runs of one id that were in flight on several threads are each ended as their own", async ({
      open,
    }) => {
      const one = open();
      const threads = ["t1", "t2", "t3"];
      await one.storeRun("t2", "r", [custom("before")]);
      for (const threadId of threads) {
        const mine = await one.claimed(threadId, "r");
        mine.append(custom(threadId));
      }
      await one.close();
      const next = open();
      for (const threadId of threads) {
        const stored = await next.history(threadId);
        const interrupted = stored.pop();
        assert.deepEqual(stored, threadId === "t2" ? [run("r", [custom("before")])] : []);
        assert.equal(interrupted?.runId, "r");
        assert.deepEqual(interrupted.events[0], custom(threadId));
        expectInterrupted(interrupted.events.slice(1));
      }
    });

    test("a run in flight when its store closes is ended by the next store", async ({ open }) => {
      const one = open();
      const mine = await one.claimed("t", "r");
      mine.append(custom(1));
      mine.append(custom(2));
      await one.close();
      const next = open();
      await next.port.ready();
      assert.equal(await next.port.runningRun("t"), null);
      const [only, ...rest] = await next.history("t");
      assert.deepEqual(rest, []);
      assert.deepEqual(only?.events.slice(0, 2), [custom(1), custom(2)]);
      expectInterrupted(only?.events.slice(2));
    });

    test("a run of which nothing was appended leaves nothing when its store closes", async ({
      open,
    }) => {
      const one = open();
      await one.claimed("t", "r");
      await one.close();
      const next = open();
      assert.deepEqual(await next.history("t"), []);
      assert.equal(await next.port.runningRun("t"), null);
      assert.equal((await next.claim("t", "r")).kind, "claimed");
    });
  },
};
