import assert from "node:assert/strict";
import { custom } from "./events.ts";
import { expectRefusal } from "./expectations.ts";
import type { Section } from "./section.ts";

export const closing: Section = {
  title: "close",
  define(test) {
    test("closing stores what is waiting", async ({ open }) => {
      const store = open();
      const mine = await store.claimed("t", "r");
      mine.append(custom(1));
      let isStored = false;
      const finishing = mine.finish().then(() => {
        isStored = true;
      });
      await store.close();
      await finishing;
      assert.equal(isStored, true);
    });

    test("a store that was never used can be closed", async ({ open }) => {
      await open().close();
    });

    test("closing twice is closing once", async ({ open }) => {
      const store = open();
      await store.port.ready();
      await store.close();
      await store.close();
    });

    test("a store that is closed refuses with a RunStoreError, and does not hang", async ({
      open,
    }) => {
      const store = open();
      const { port } = store;
      const held = await store.claimed("t", "held");
      await store.close();
      const attempts = {
        claim: () => store.claim("t", "r"),
        readHistory: () => port.readHistory("t", null),
        runningRun: () => port.runningRun("t"),
        finish: () => held.finish(),
        release: () => held.release(),
        ready: () => port.ready(),
        requestStop: () => port.requestStop("t", null),
        released: () => store.released("t"),
        follow: () => store.followed("t", held.epoch),
      };
      for (const [method, attempt] of Object.entries(attempts)) {
        await expectRefusal(attempt(), { what: `${method} after close` });
      }
    });

    test("a store that was closed before its first use refuses as well", async ({ open }) => {
      const store = open();
      await store.close();
      await expectRefusal(store.port.ready());
      await expectRefusal(store.claim("t", "r"));
      await expectRefusal(store.port.readHistory("t", null));
    });

    test("what a health check asks of it succeeds while it is open, and is refused afterwards", async ({
      open,
    }) => {
      const store = open();
      const { port } = store;
      const ask = async () => (port.probe === undefined ? port.ready() : port.probe());
      await ask();
      await store.close();
      await expectRefusal(ask(), { what: "a probe after close" });
    });

    test("after closing, appending throws nothing", async ({ open }) => {
      const store = open();
      const held = await store.claimed("t", "held");
      await store.close();
      held.append(custom(1));
    });

    test("after closing, flushing resolves if all was stored", async ({ open }) => {
      const store = open();
      await store.storeRun("t", "r");
      await store.close();
      await store.port.flush();
    });
  },
};
