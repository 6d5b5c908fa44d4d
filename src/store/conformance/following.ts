import assert from "node:assert/strict";
import { custom, finished } from "./events.ts";
import { expectRefusal } from "./expectations.ts";
import type { Section } from "./section.ts";

export const following: Section = {
  title: "following a run of another store",
  needs: ["severalInstances"],
  define(test) {
    test("followers of two runs of one id, on one thread, each get their own", async ({ open }) => {
      const [one, other] = [open(), open()];
      await other.port.ready();
      const first = await one.claimed("t", "r");
      first.append(custom(1));
      await one.port.flush();
      const ofFirst = other.followed("t", first.epoch);
      first.append(finished("t", "r"));
      const finishing = first.finish();
      const second = await one.claimed("t", "r");
      second.append(custom(2));
      await one.port.flush();
      const ofSecond = other.followed("t", second.epoch);
      second.append(finished("t", "r"));
      await Promise.all([finishing, second.finish()]);
      assert.deepEqual(await ofFirst, [custom(1), finished("t", "r")]);
      assert.deepEqual(await ofSecond, [custom(2), finished("t", "r")]);
      // And so does whoever comes when both are over.
      assert.deepEqual(await other.followed("t", first.epoch), await ofFirst);
    });

    test("a follower gets a run from its first event to its last, in order, each once", async ({
      open,
    }) => {
      const [one, other] = [open(), open()];
      await other.port.ready();
      const mine = await one.claimed("t", "r");
      const events = Array.from({ length: 40 }, (_, index) => custom(index));
      const half = Promise.withResolvers<void>();
      const early = other.followed("t", mine.epoch, (told) => {
        if (told.length >= 20) half.resolve();
      });
      for (const [index, event] of events.slice(0, 20).entries()) {
        mine.append(event);
        if (index % 5 === 0) await one.port.flush();
      }
      await one.port.flush();
      // A follower that ends before it was told half of it is wrong, too.
      await Promise.race([half.promise, early]);
      // Whoever comes later gets all of it, too.
      const late = other.followed("t", mine.epoch);
      for (const event of events.slice(20)) mine.append(event);
      mine.append(finished("t", "r"));
      await mine.finish();
      assert.deepEqual(await early, [...events, finished("t", "r")]);
      assert.deepEqual(await late, await early);
    });

    test("a follower of a run that was never journaled gets it when it is stored", async ({
      open,
    }) => {
      const [one, other] = [open(), open()];
      await other.port.ready();
      const mine = await one.claimed("t", "r");
      const told = other.followed("t", mine.epoch);
      mine.append(custom(1));
      mine.append(finished("t", "r"));
      await mine.finish();
      assert.deepEqual(await told, [custom(1), finished("t", "r")]);
    });

    test("a follower of a run that is released hears its end, if it heard its beginning", async ({
      open,
    }) => {
      const [one, other] = [open(), open()];
      await other.port.ready();
      const mine = await one.claimed("t", "r");
      const begun = Promise.withResolvers<void>();
      const told = other.followed("t", mine.epoch, () => begun.resolve());
      mine.append(custom(1));
      await one.port.flush();
      await Promise.race([begun.promise, told]);
      mine.append(finished("t", "r"));
      await mine.release();
      assert.deepEqual(await told, [custom(1), finished("t", "r")]);
      assert.deepEqual(await other.history("t"), []);
    });

    test("a follower may leave before the run has ended", async ({ open }) => {
      const [one, other] = [open(), open()];
      await other.port.ready();
      const mine = await one.claimed("t", "r");
      mine.append(custom(1));
      await one.port.flush();
      const left = new AbortController();
      const follow = async () => {
        for await (const _ of other.port.follow("t", mine.epoch, left.signal));
      };
      const leaving = follow();
      left.abort();
      await leaving;
    });

    test("followers, and those who wait for a thread, are told when their store closes", async ({
      open,
    }) => {
      const [one, other] = [open(), open()];
      await other.port.ready();
      const mine = await one.claimed("t", "r");
      mine.append(custom(1));
      await one.port.flush();
      const begun = Promise.withResolvers<void>();
      const following = other.followed("t", mine.epoch, () => begun.resolve());
      const waiting = other.released("t");
      const refusals = Promise.all([expectRefusal(following), expectRefusal(waiting)]);
      await Promise.race([begun.promise, refusals]);
      await other.close();
      await refusals;
    });
  },
};
