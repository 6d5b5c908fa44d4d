import assert from "node:assert/strict";
import { custom } from "./events.ts";
import type { Section } from "./section.ts";
import { run } from "./whole-runs.ts";

const IDS: readonly (readonly [what: string, id: string])[] = [
  ["quotes", `it's "quoted" \`and\` ; DROP TABLE agent_runs; --`],
  ["another alphabet", "поток-一号-مسار"],
  ["emoji", "👩‍👩‍👧‍👦🏳️‍🌈"],
  ["combining marks", "e\u0301"],
  ["NUL", "before\0after"],
  ["only NUL", "\0"],
  ["control characters", "\n\t\r\u001b\u2028"],
  ["blanks around it", " padded "],
  ["a percent sign and an underscore", "%_%"],
  ["a path", "../../etc/passwd"],
  ["a name of Object.prototype", "__proto__"],
  ["10 000 characters", "x".repeat(10_000)],
];

/** Ids that a database may take for one. */
const ALIKE = ["a", "A", "a ", " a", "a\0", "a\0b", "\u00e9", "e\u0301", "1", "01", "1.0"];

export const ids: Section = {
  title: "ids of any content",
  define(test) {
    for (const [what, id] of IDS) {
      test(`a thread id with ${what}`, async ({ open }) => {
        const store = open();
        await store.storeRun(id, "r", [custom(1)]);
        await store.storeRun(`${id}2`, "r2");
        assert.deepEqual(await store.history(id), [run("r", [custom(1)])]);
        const next = await store.claimed(id, "r3");
        assert.equal((await store.port.runningRun(id))?.runId, "r3");
        assert.equal(await store.port.runningRun(`${id}2`), null);
        await next.release();
      });
    }

    for (const [what, id] of IDS) {
      test(`a run id with ${what}`, async ({ open }) => {
        const store = open();
        const mine = await store.claimed("t", id);
        assert.equal((await store.port.runningRun("t"))?.runId, id);
        mine.append(custom(1));
        await store.port.flush();
        mine.append(custom(2));
        await mine.finish();
        assert.deepEqual(await store.history("t"), [run(id, [custom(1), custom(2)])]);
        await store.storeRun("t", id, [custom(3)]);
        assert.deepEqual(await store.history("t"), [
          run(id, [custom(1), custom(2)]),
          run(id, [custom(3)]),
        ]);
      });
    }

    for (const [what, id] of IDS) {
      test(`a message id with ${what}`, async ({ open }) => {
        const store = open();
        assert.deepEqual(await store.seen("t", "r1", [id]), [false]);
        await store.storeRun("t", "r2", [{ type: "TEXT_MESSAGE_START", messageId: id }]);
        assert.deepEqual(await store.seen("t", "r3", [id, `${id}2`]), [true, false]);
      });
    }

    test("threads whose ids look alike are different threads", async ({ open }) => {
      const store = open();
      for (const id of ALIKE) await store.storeRun(id, "r", [custom(id)]);
      for (const id of ALIKE) {
        assert.deepEqual(await store.history(id), [run("r", [custom(id)])]);
      }
    });

    test("messages whose ids look alike are different messages", async ({ open }) => {
      const store = open();
      const [first = "", ...others] = ALIKE;
      await store.storeRun("t", "r1", [{ type: "TEXT_MESSAGE_START", messageId: first }]);
      assert.deepEqual(
        await store.seen("t", "r2", [first, ...others]),
        ALIKE.map((id) => id === first),
      );
    });

    test("an agent's id may be absent, and may be anything", async ({ open }) => {
      const store = open();
      for (const [index, agentId] of [null, "", "agent 🤖"].entries()) {
        const mine = await store.claimed("t", `r${index}`, { agentId });
        await mine.finish();
      }
      assert.equal((await store.history("t")).length, 3);
    });
  },
};
