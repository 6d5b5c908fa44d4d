import assert from "node:assert/strict";
import { inspect } from "node:util";
import type { EventLike } from "../../events/event.ts";
import { custom } from "./events.ts";
import { randomEvents } from "./random-events.ts";
import type { Section } from "./section.ts";
import { run } from "./whole-runs.ts";

/** How many runs of random events are stored. */
const RANDOM_RUNS = 60;

const circular = () => {
  const loop: Record<string, unknown> = { name: "loop" };
  loop.self = loop;
  return loop;
};

const withThrowingGetter = () =>
  Object.defineProperty({ ...custom(1) }, "bad", {
    enumerable: true,
    get() {
      throw new Error("no");
    },
  });

const withProtoKey = () => JSON.parse('{"type":"CUSTOM","name":"n","value":1,"__proto__":2}');

const HARD: readonly (readonly [what: string, event: () => EventLike, stored: EventLike])[] = [
  [
    "a circular field",
    () => ({ ...custom(1), rawEvent: circular() }),
    { ...custom(1), rawEvent: { name: "loop" } },
  ],
  ["a BigInt", () => ({ ...custom(1), big: 2n ** 64n }), custom(1)],
  ["a function and a symbol", () => ({ ...custom(1), f() {}, s: Symbol("s") }), custom(1)],
  ["a getter that throws", withThrowingGetter, custom(1)],
  ["a lone surrogate", () => custom("\ud83d"), custom("\ud83d")],
  ["NUL and line separators", () => custom("\0\u2028\u2029"), custom("\0\u2028\u2029")],
  ["the key __proto__", withProtoKey, withProtoKey()],
];

export const hardContent: Section = {
  title: "content that is hard to store",
  define(test) {
    for (const [what, event, stored] of HARD) {
      test(`an event with ${what} loses that part only`, async ({ open }) => {
        const store = open();
        await store.storeRun("t", "r", [custom("before"), event(), custom("after")]);
        const [only] = await store.history("t");
        assert.equal(only?.events.length, 3);
        assert.equal(JSON.stringify(only.events[1]), JSON.stringify(stored));
        assert.deepEqual([only.events[0], only.events[2]], [custom("before"), custom("after")]);
      });
    }

    test("an input that is no JSON does not keep the run from being stored", async ({ open }) => {
      const store = open();
      const mine = await store.claimed("t", "r");
      mine.setInput({ state: circular(), big: 1n });
      mine.append(custom(1));
      await mine.finish();
      assert.deepEqual(await store.history("t"), [run("r", [custom(1)])]);
    });

    test("whatever the events are, the run is stored, its neighbours too, and reads back", async ({
      open,
    }) => {
      const store = open();
      for (let seed = 1; seed <= RANDOM_RUNS; seed++) {
        const events = randomEvents(seed);
        const [hard, neighbour] = [`t${seed}`, `t${seed} neighbour`];
        try {
          await Promise.all([
            store.storeRun(hard, `hard ${seed}`, events),
            store.storeRun(neighbour, `plain ${seed}`, [custom(seed)]),
          ]);
          assert.deepEqual(await store.storedRunIds(hard), [`hard ${seed}`]);
          assert.deepEqual(await store.history(neighbour), [run(`plain ${seed}`, [custom(seed)])]);
          assert.equal(await store.port.runningRun(hard), null);
        } catch (cause) {
          throw new Error(`with the events ${inspect(events, { depth: 8 })}`, { cause });
        }
      }
    });
  },
};
