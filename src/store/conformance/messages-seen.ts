import assert from "node:assert/strict";
import { custom, finished, started } from "./events.ts";
import type { Section } from "./section.ts";

export const messagesSeen: Section = {
  title: "messages seen",
  define(test) {
    test("none, in a thread that is new", async ({ open }) => {
      assert.deepEqual(await open().seen("t", "r", ["a", "b"]), [false, false]);
    });

    test("those that stored events stream", async ({ open }) => {
      const store = open();
      await store.storeRun("t", "r1", [
        { type: "TEXT_MESSAGE_START", messageId: "text", role: "assistant" },
        { type: "TEXT_MESSAGE_END", messageId: "text" },
        { type: "TOOL_CALL_RESULT", messageId: "result", toolCallId: "call", content: "1" },
      ]);
      const ids = ["new", "result", "text", "call"];
      assert.deepEqual(await store.seen("t", "r2", ids), [false, true, true, false]);
    });

    test("those in the input of a stored RUN_STARTED", async ({ open }) => {
      const store = open();
      await store.storeRun("t", "r1", [started("t", "r1", ["a", "b"]), finished("t", "r1")]);
      assert.deepEqual(await store.seen("t", "r2", ["c", "b", "a"]), [false, true, true]);
    });

    test("not those in the input that was set, as long as no event says them", async ({ open }) => {
      const store = open();
      const mine = await store.claimed("t", "r1");
      mine.setInput({ messages: [{ id: "a" }] });
      mine.append(custom(1));
      await mine.finish();
      assert.deepEqual(await store.seen("t", "r2", ["a"]), [false]);
    });

    test("not those of a run that was released", async ({ open }) => {
      const store = open();
      const mine = await store.claimed("t", "r1");
      mine.append(started("t", "r1", ["a"]));
      await store.port.flush();
      await mine.release();
      assert.deepEqual(await store.seen("t", "r2", ["a"]), [false]);
    });

    test("not those of another thread", async ({ open }) => {
      const store = open();
      await store.storeRun("t", "r1", [started("t", "r1", ["a"])]);
      assert.deepEqual(await store.seen("other", "r2", ["a"]), [false]);
    });

    test("by position, twice the same if asked twice, and never for an empty id", async ({
      open,
    }) => {
      const store = open();
      await store.storeRun("t", "r1", [started("t", "r1", ["a", ""])]);
      assert.deepEqual(await store.seen("t", "r2", ["a", "", "a", "b"]), [
        true,
        false,
        true,
        false,
      ]);
      assert.deepEqual(await store.seen("t", "r3", []), []);
    });
  },
};
