import "../support/leak-guard.ts";
import fc from "fast-check";
import { describe, expect, onTestFinished, test } from "vitest";
import {
  type ClaimedRun,
  type ClaimOutcome,
  type ClaimRequest,
  type HistoryCursor,
  type HistorySegment,
  type RunStore,
  RunStoreError,
} from "../../src/index.ts";

export interface StoreTraits {
  /** Whether data outlives the store, and several stores may work on it at once. */
  readonly shared: boolean;
}

/** Called once a test, in the test. Gives a maker of stores, all over the same data if shared. */
export type SetUp = () => () => RunStore;

type Event = HistorySegment["events"][number];

const CLOSE_MS = 5000;
const PAGE_BYTES = 64 * 1024;

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

/**
 * What every store has to do, whatever it keeps its runs in. Events are compared whole only where no compaction may change them: CUSTOM events.
 */
export function describeRunStore(name: string, { shared }: StoreTraits, setUp: SetUp): void {
  const openOne = () => opened(setUp()());

  describe(`the port RunStore: ${name}`, () => {
    describe("claims", () => {
      test("a thread without a run can be claimed", async () => {
        const outcome = await claim(openOne(), "t", "r");
        expect(outcome.kind).toBe("claimed");
      });

      test("each claim of a thread has a higher epoch than those before it", async () => {
        const store = openOne();
        const epochs: number[] = [];
        for (const [at, end] of ["finish", "release", "finish"].entries()) {
          const run = await claimed(store, "t", `r${at}`);
          epochs.push(run.epoch);
          if (end === "finish") await run.finish(notStalled);
          else await run.release();
        }
        const ascending = [...new Set(epochs)].sort((a, b) => a - b);
        expect(epochs).toEqual(ascending);
      });

      test("a claim that was made behind a finish finds the thread free", async () => {
        const store = openOne();
        const first = await claimed(store, "t", "r1");
        first.append(custom(1));
        const finishing = first.finish(notStalled);
        const outcome = await claim(store, "t", "r2");
        expect(outcome.kind).toBe("claimed");
        await finishing;
      });

      test("a claim that was made behind a finish knows the messages of that run", async () => {
        const store = openOne();
        const first = await claimed(store, "t", "r1");
        first.append({ type: "TEXT_MESSAGE_START", messageId: "m1", role: "assistant" });
        first.append({ type: "TEXT_MESSAGE_END", messageId: "m1" });
        const finishing = first.finish(notStalled);
        const outcome = await claim(store, "t", "r2", ["m1", "m2"]);
        expect(outcome).toMatchObject({ kind: "claimed", seen: [true, false] });
        await finishing;
      });

      test("a claim that was made behind a release finds the thread free", async () => {
        const store = openOne();
        const first = await claimed(store, "t", "r1");
        const releasing = first.release();
        expect(await claim(store, "t", "r2")).toMatchObject({ kind: "claimed" });
        await releasing;
      });

      test("many threads are held at once, and are finished in any order", async () => {
        const store = openOne();
        const ids = Array.from({ length: 200 }, (_, index) => `${index}`);
        const runs = await Promise.all(ids.map((id) => claimed(store, `t${id}`, `r${id}`)));
        for (const [index, run] of runs.entries()) run.append(custom(index));
        await Promise.all(runs.toReversed().map((run) => run.finish(notStalled)));
        for (const [index, id] of ids.entries()) {
          expect(await history(store, `t${id}`)).toEqual([run(`r${id}`, [custom(index)])]);
        }
      });

      test("of two runs on a thread at most one is stored", async () => {
        const store = openOne();
        const first = await claimed(store, "t", "r1");
        first.append(custom(1));
        const second = await claim(store, "t", "r2");
        const outcomes = await Promise.allSettled([
          first.finish(notStalled),
          second.kind === "claimed" ? second.run.finish(notStalled) : Promise.reject(second),
        ]);
        expect(outcomes.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
      });
    });

    describe("ids of any content", () => {
      test.each(IDS)("a thread id with %s", async (_, id) => {
        const store = openOne();
        await storeRun(store, id, "r", [custom(1)]);
        await storeRun(store, `${id}2`, "r2");
        expect(await history(store, id)).toEqual([run("r", [custom(1)])]);
        const next = await claimed(store, id, "r3");
        expect((await store.runningRun(id))?.runId).toBe("r3");
        expect(await store.runningRun(`${id}2`)).toBeNull();
        await next.release();
      });

      test.each(IDS)("a run id with %s", async (_, id) => {
        const store = openOne();
        const mine = await claimed(store, "t", id);
        expect((await store.runningRun("t"))?.runId).toBe(id);
        mine.append(custom(1));
        await store.flush();
        mine.append(custom(2));
        await mine.finish(notStalled);
        expect(await history(store, "t")).toEqual([run(id, [custom(1), custom(2)])]);
        await storeRun(store, "t", id, [custom(3)]);
        expect(await history(store, "t")).toEqual([
          run(id, [custom(1), custom(2)]),
          run(id, [custom(3)]),
        ]);
      });

      test.each(IDS)("a message id with %s", async (_, id) => {
        const store = openOne();
        expect(await seen(store, "t", "r1", [id])).toEqual([false]);
        await storeRun(store, "t", "r2", [{ type: "TEXT_MESSAGE_START", messageId: id }]);
        expect(await seen(store, "t", "r3", [id, `${id}2`])).toEqual([true, false]);
      });

      test("an agent's id may be absent, and may be anything", async () => {
        const store = openOne();
        for (const [index, agentId] of [null, "", "agent 🤖"].entries()) {
          const run = await claimed(store, "t", `r${index}`, [], agentId);
          await run.finish(notStalled);
        }
        expect(await history(store, "t")).toHaveLength(3);
      });
    });

    describe("a run id that comes again", () => {
      test("on its thread, once the run that had it is over: both are kept, under that id", async () => {
        const store = openOne();
        for (const value of [1, 2, 3]) await storeRun(store, "t", "r", [custom(value)]);
        expect(await history(store, "t")).toEqual([1, 2, 3].map((n) => run("r", [custom(n)])));
      });

      test("behind a finish that is not stored yet", async () => {
        const store = openOne();
        const first = await claimed(store, "t", "r");
        first.append(custom(1));
        await store.flush();
        const finishing = first.finish(notStalled);
        const second = await claimed(store, "t", "r");
        second.append(custom(2));
        await Promise.all([finishing, second.finish(notStalled)]);
        expect(await history(store, "t")).toEqual([run("r", [custom(1)]), run("r", [custom(2)])]);
      });

      test("after a release: nothing of the run before it is found in the second", async () => {
        const store = openOne();
        const first = await claimed(store, "t", "r");
        first.append(custom(1));
        await store.flush();
        await first.release();
        const second = await claimed(store, "t", "r");
        second.append(custom(2));
        await store.flush();
        // What the first one says late is not about the second.
        await first.release();
        expect(await store.runningRun("t")).toEqual({ runId: "r", epoch: second.epoch });
        second.append(custom(3));
        await second.finish(notStalled);
        await expect(first.finish(notStalled)).rejects.toMatchObject({ code: "LEASE_LOST" });
        expect(await history(store, "t")).toEqual([run("r", [custom(2), custom(3)])]);
      });

      test("on many threads at once, in flight and stored", async () => {
        const store = openOne();
        const threads = Array.from({ length: 30 }, (_, at) => `t${at}`);
        for (const turn of [1, 2]) {
          const runs = await Promise.all(threads.map((threadId) => claimed(store, threadId, "r")));
          for (const [at, mine] of runs.entries()) mine.append(custom(`${at} ${turn} a`));
          await store.flush();
          for (const [at, mine] of runs.entries()) mine.append(custom(`${at} ${turn} b`));
          await Promise.all(runs.map((mine) => mine.finish(notStalled)));
        }
        for (const [at, threadId] of threads.entries()) {
          const said = (turn: number) => [custom(`${at} ${turn} a`), custom(`${at} ${turn} b`)];
          expect(await history(store, threadId)).toEqual([run("r", said(1)), run("r", said(2))]);
        }
      });

      test("its messages are known on the threads that have them, and on no other", async () => {
        const store = openOne();
        await storeRun(store, "t1", "r", [started("t1", "r", ["a"])]);
        await storeRun(store, "t2", "r", [started("t2", "r", ["b"])]);
        await storeRun(store, "t1", "r", [started("t1", "r", ["c"])]);
        expect(await seen(store, "t1", "r", ["a", "b", "c"])).toEqual([true, false, true]);
        expect(await seen(store, "t2", "r", ["a", "b", "c"])).toEqual([false, true, false]);
      });

      test("a run of several pages among others of its id comes whole, and in its place", async () => {
        const store = openOne();
        const large = Array.from({ length: 40 }, (_, at) => custom(`${at} ${"x".repeat(5000)}`));
        for (const events of [[custom(1)], large, [custom(2)]]) {
          await storeRun(store, "t", "r", events);
        }
        expect(await history(store, "t")).toEqual(
          [[custom(1)], large, [custom(2)]].map((events) => run("r", events)),
        );
      });
    });

    describe("messages seen", () => {
      test("none, in a thread that is new", async () => {
        expect(await seen(openOne(), "t", "r", ["a", "b"])).toEqual([false, false]);
      });

      test("those that stored events stream", async () => {
        const store = openOne();
        await storeRun(store, "t", "r1", [
          { type: "TEXT_MESSAGE_START", messageId: "text", role: "assistant" },
          { type: "TEXT_MESSAGE_END", messageId: "text" },
          { type: "TOOL_CALL_RESULT", messageId: "result", toolCallId: "call", content: "1" },
        ]);
        const ids = ["new", "result", "text", "call"];
        expect(await seen(store, "t", "r2", ids)).toEqual([false, true, true, false]);
      });

      test("those in the input of a stored RUN_STARTED", async () => {
        const store = openOne();
        await storeRun(store, "t", "r1", [started("t", "r1", ["a", "b"]), finished("t", "r1")]);
        expect(await seen(store, "t", "r2", ["c", "b", "a"])).toEqual([false, true, true]);
      });

      test("not those in the input that was set, as long as no event says them", async () => {
        const store = openOne();
        const run = await claimed(store, "t", "r1");
        run.setInput({ messages: [{ id: "a" }] });
        run.append(custom(1));
        await run.finish(notStalled);
        expect(await seen(store, "t", "r2", ["a"])).toEqual([false]);
      });

      test("not those of a run that was released", async () => {
        const store = openOne();
        const run = await claimed(store, "t", "r1");
        run.append(started("t", "r1", ["a"]));
        await store.flush();
        await run.release();
        expect(await seen(store, "t", "r2", ["a"])).toEqual([false]);
      });

      test("not those of another thread", async () => {
        const store = openOne();
        await storeRun(store, "t", "r1", [started("t", "r1", ["a"])]);
        expect(await seen(store, "other", "r2", ["a"])).toEqual([false]);
      });

      test("by position, twice the same if asked twice, and never for an empty id", async () => {
        const store = openOne();
        await storeRun(store, "t", "r1", [started("t", "r1", ["a", ""])]);
        expect(await seen(store, "t", "r2", ["a", "", "a", "b"])).toEqual([
          true,
          false,
          true,
          false,
        ]);
        expect(await seen(store, "t", "r3", [])).toEqual([]);
      });
    });

    describe("append, finish and release", () => {
      test("a run holds its thread from its claim until it is finished", async () => {
        const store = openOne();
        expect(await store.runningRun("t")).toBeNull();
        const run = await claimed(store, "t", "r");
        expect((await store.runningRun("t"))?.runId).toBe("r");
        expect(await store.runningRun("other")).toBeNull();
        await run.finish(notStalled);
        expect(await store.runningRun("t")).toBeNull();
      });

      test("a run is no part of the history before it is finished, and is when it is", async () => {
        const store = openOne();
        const mine = await claimed(store, "t", "r");
        mine.append(custom(1));
        await store.flush();
        expect(await history(store, "t")).toEqual([]);
        await mine.finish(notStalled);
        expect(await history(store, "t")).toEqual([run("r", [custom(1)])]);
      });

      test("events keep their order, however often the store was flushed between them", async () => {
        const store = openOne();
        const mine = await claimed(store, "t", "r");
        const events = Array.from({ length: 60 }, (_, index) => custom(index));
        for (const [index, event] of events.entries()) {
          mine.append(event);
          if (index % 7 === 0) await store.flush();
        }
        await mine.finish(notStalled);
        expect(await history(store, "t")).toEqual([run("r", events)]);
      });

      test("what is stored is the event as it was when it was appended", async () => {
        const store = openOne();
        const mine = await claimed(store, "t", "r");
        const event = { type: "CUSTOM", name: "n", value: { at: "append" } };
        mine.append(event);
        event.value.at = "later";
        await mine.finish(notStalled);
        expect(await history(store, "t")).toEqual([
          run("r", [{ type: "CUSTOM", name: "n", value: { at: "append" } }]),
        ]);
      });

      test("appending returns at once, and changes nothing about the event", async () => {
        const store = openOne();
        const mine = await claimed(store, "t", "r");
        const event = Object.freeze(custom(Object.freeze({ deep: true })));
        expect(mine.append(event)).toBeUndefined();
        await mine.finish(notStalled);
        expect(await history(store, "t")).toEqual([run("r", [custom({ deep: true })])]);
      });

      test("a run without events can be stored", async () => {
        const store = openOne();
        const mine = await claimed(store, "t", "r");
        await mine.finish(notStalled);
        expect(await history(store, "t")).toEqual([run("r", [])]);
        expect(await store.runningRun("t")).toBeNull();
      });

      test("a run that was released leaves nothing: no history, no holder, and a free id", async () => {
        const store = openOne();
        const mine = await claimed(store, "t", "r");
        mine.append(custom(1));
        await store.flush();
        mine.append(custom(2));
        await mine.release();
        expect(await history(store, "t")).toEqual([]);
        expect(await store.runningRun("t")).toBeNull();
        await storeRun(store, "t", "r", [custom(3)]);
        expect(await history(store, "t")).toEqual([run("r", [custom(3)])]);
      });

      test("releasing twice is releasing once, whoever has the thread by then", async () => {
        const store = openOne();
        const first = await claimed(store, "t", "r1");
        await first.release();
        const second = await claimed(store, "t", "r2");
        await first.release();
        expect((await store.runningRun("t"))?.runId).toBe("r2");
        await second.finish(notStalled);
      });

      test("a run that was released cannot be stored any more", async () => {
        const store = openOne();
        const first = await claimed(store, "t", "r1");
        await first.release();
        await expect(first.finish(notStalled)).rejects.toMatchObject({ code: "LEASE_LOST" });
        expect(await history(store, "t")).toEqual([]);
      });
    });

    describe("history", () => {
      test("an unknown thread has one empty page", async () => {
        const store = openOne();
        expect(await store.readHistory("t", null)).toEqual({
          segments: [],
          next: null,
          live: null,
          endedUpTo: 0,
        });
      });

      test("says up to which epoch runs are over, stored or not", async () => {
        const store = openOne();
        const endedUpTo = async () => (await store.readHistory("t", null)).endedUpTo;
        const first = await claimed(store, "t", "r");
        expect(await endedUpTo()).toBeLessThan(first.epoch);
        await first.finish(notStalled);
        expect(await endedUpTo()).toBeGreaterThanOrEqual(first.epoch);
        const second = await claimed(store, "t", "r");
        expect(await endedUpTo()).toBeLessThan(second.epoch);
        await second.release();
        expect(await endedUpTo()).toBeGreaterThanOrEqual(second.epoch);
      });

      test("names a run of this store as live only when its claim was answered", async () => {
        const store = openOne();
        await store.ready();
        for (let turn = 0; turn < 60; turn++) {
          let epoch: number | null = null;
          const claiming = claimed(store, "t", "r").then((run) => {
            epoch = run.epoch;
            return run;
          });
          const live = async () => {
            for (;;) {
              const { live } = await store.readHistory("t", null);
              if (live === null) continue;
              return { live: live.epoch, answered: epoch };
            }
          };
          for (const seen of await Promise.all([live(), live()])) {
            expect(seen.answered).toBe(seen.live);
          }
          await (await claiming).release();
        }
      });

      test("of runs up to that epoch it holds all that is kept, and nothing of later ones", async () => {
        const store = openOne();
        const ended: number[] = [];
        for (let turn = 0; turn < 20; turn++) {
          const mine = await claimed(store, "t", `r${turn}`);
          const finishing = mine.finish(notStalled);
          // While it is being stored: one says that it is over if and only if the other has it.
          const page = await store.readHistory("t", null);
          const isOver = page.endedUpTo >= mine.epoch;
          expect(page.segments.at(-1)?.runId === `r${turn}`).toBe(isOver);
          expect(page.live === null).toBe(isOver);
          await finishing;
          ended.push(page.endedUpTo);
        }
        expect(ended).toEqual(ended.toSorted((a, b) => a - b));
      });

      test("runs come in the order in which they were finished", async () => {
        const store = openOne();
        for (const id of ["c", "a", "b"]) await storeRun(store, "t", id, [custom(id)]);
        expect(await history(store, "t")).toEqual(
          ["c", "a", "b"].map((id) => run(id, [custom(id)])),
        );
      });

      test("threads do not mix", async () => {
        const store = openOne();
        await storeRun(store, "t1", "r1");
        await storeRun(store, "t2", "r2");
        await storeRun(store, "t1", "r3");
        expect((await history(store, "t1")).map(({ runId }) => runId)).toEqual(["r1", "r3"]);
        expect((await history(store, "t2")).map(({ runId }) => runId)).toEqual(["r2"]);
      });

      test("many runs come in several pages, each run whole or in segments, in order", async () => {
        const store = openOne();
        const events = (id: string) =>
          Array.from({ length: 5 }, (_, index) => custom(`${id} ${index} ${"x".repeat(2000)}`));
        const ids = Array.from({ length: 20 }, (_, index) => `r${index}`);
        for (const id of ids) await storeRun(store, "t", id, events(id));
        expect(await pagesOf(store, "t")).not.toHaveLength(1);
        expect(await history(store, "t")).toEqual(ids.map((id) => run(id, events(id))));
      });

      test("a run larger than a page comes in segments, the first and the last marked", async () => {
        const store = openOne();
        const events = Array.from({ length: 40 }, (_, index) => custom(`${index}`.repeat(5000)));
        await storeRun(store, "t", "before", [custom(0)]);
        await storeRun(store, "t", "large", events);
        await storeRun(store, "t", "after", [custom(1)]);
        const segments = (await pagesOf(store, "t")).flatMap((page) => page.segments);
        const large = segments.filter(({ runId }) => runId === "large");
        expect(large.length).toBeGreaterThan(1);
        expect(large.map(({ first }) => first)).toEqual(large.map((_, at) => at === 0));
        expect(large.map(({ last }) => last)).toEqual(
          large.map((_, at) => at === large.length - 1),
        );
        expect(await history(store, "t")).toEqual([
          run("before", [custom(0)]),
          run("large", events),
          run("after", [custom(1)]),
        ]);
      });

      test("an event larger than a page comes whole", async () => {
        const store = openOne();
        const events = [custom(1), custom("🙂".repeat(PAGE_BYTES)), custom(2)];
        await storeRun(store, "t", "r", events);
        await storeRun(store, "t", "after", [custom(3)]);
        expect(await history(store, "t")).toEqual([run("r", events), run("after", [custom(3)])]);
      });

      test("a page is not much larger than 64 KiB unless one event alone is", async () => {
        const store = openOne();
        for (let index = 0; index < 8; index++) {
          await storeRun(store, "t", `r${index}`, [
            custom("x".repeat(30_000)),
            custom("é".repeat(9000)),
          ]);
        }
        for (const { segments } of await pagesOf(store, "t")) {
          const bytes = segments.map(({ events }) => JSON.stringify(events).length);
          expect(bytes.reduce((sum, length) => sum + length, 0)).toBeLessThan(PAGE_BYTES + 1024);
        }
      });

      test("runs that are finished after reading began are no part of it", async () => {
        const store = openOne();
        const large = Array.from({ length: 12 }, (_, index) =>
          custom(`${index} ${"x".repeat(8000)}`),
        );
        for (const id of ["r1", "r2", "r3"]) await storeRun(store, "t", id, large);
        const first = await store.readHistory("t", null);
        expect(first.next).not.toBeNull();
        await storeRun(store, "t", "late");
        const later = await pagesOf(store, "t", first.next);
        const ids = [first, ...later].flatMap(({ segments }) => segments.map(({ runId }) => runId));
        expect([...new Set(ids)]).toEqual(["r1", "r2", "r3"]);
        expect((await history(store, "t")).map(({ runId }) => runId)).toEqual([
          "r1",
          "r2",
          "r3",
          "late",
        ]);
      });

      test("a cursor may be used again, and several readers do not disturb each other", async () => {
        const store = openOne();
        const events = Array.from({ length: 30 }, (_, index) =>
          custom(`${index} ${"x".repeat(5000)}`),
        );
        for (const id of ["r1", "r2"]) await storeRun(store, "t", id, events);
        const first = await store.readHistory("t", null);
        const again = await store.readHistory("t", first.next);
        expect(await store.readHistory("t", first.next)).toEqual(again);
        const readers = await Promise.all(Array.from({ length: 5 }, () => history(store, "t")));
        for (const read of readers) expect(read).toEqual([run("r1", events), run("r2", events)]);
      });
    });

    describe("content that is hard to store", () => {
      const circular = () => {
        const loop: Record<string, unknown> = { name: "loop" };
        loop.self = loop;
        return loop;
      };
      const hard: readonly (readonly [what: string, event: () => Event, stored: Event])[] = [
        [
          "a circular field",
          () => ({ ...custom(1), rawEvent: circular() }),
          { ...custom(1), rawEvent: { name: "loop" } },
        ],
        ["a BigInt", () => ({ ...custom(1), big: 2n ** 64n }), custom(1)],
        ["a function and a symbol", () => ({ ...custom(1), f() {}, s: Symbol("s") }), custom(1)],
        [
          "a getter that throws",
          () =>
            Object.defineProperty({ ...custom(1) }, "bad", {
              enumerable: true,
              get() {
                throw new Error("no");
              },
            }),
          custom(1),
        ],
        ["a lone surrogate", () => custom("\ud83d"), custom("\ud83d")],
        ["NUL and line separators", () => custom("\0\u2028\u2029"), custom("\0\u2028\u2029")],
        [
          "the key __proto__",
          () => JSON.parse('{"type":"CUSTOM","name":"n","value":1,"__proto__":2}'),
          JSON.parse('{"type":"CUSTOM","name":"n","value":1,"__proto__":2}'),
        ],
      ];

      test.each(hard)("an event with %s loses that part only", async (_, event, stored) => {
        const store = openOne();
        await storeRun(store, "t", "r", [custom("before"), event(), custom("after")]);
        const [only] = await history(store, "t");
        expect(only?.events).toHaveLength(3);
        expect(JSON.stringify(only?.events[1])).toBe(JSON.stringify(stored));
        expect([only?.events[0], only?.events[2]]).toEqual([custom("before"), custom("after")]);
      });

      test("an input that is no JSON does not keep the run from being stored", async () => {
        const store = openOne();
        const mine = await claimed(store, "t", "r");
        mine.setInput({ state: circular(), big: 1n });
        mine.append(custom(1));
        await mine.finish(notStalled);
        expect(await history(store, "t")).toEqual([run("r", [custom(1)])]);
      });

      test("whatever the events are, the run is stored, its neighbours too, and reads back", async () => {
        const store = openOne();
        const types = ["RUN_STARTED", "RUN_FINISHED", "RUN_ERROR", "TEXT_MESSAGE_START"].concat(
          ["TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END", "TOOL_CALL_ARGS", "TOOL_CALL_RESULT"],
          [
            "STATE_DELTA",
            "STATE_SNAPSHOT",
            "MESSAGES_SNAPSHOT",
            "STEP_FINISHED",
            "RAW",
            "NEW_TYPE",
          ],
        );
        const fields = ["messageId", "delta", "input", "messages", "toolCallId", "snapshot"];
        const event = fc
          .tuple(
            fc.constantFrom(...types),
            fc.dictionary(fc.constantFrom(...fields), fc.anything({ withBigInt: true })),
          )
          .map(([type, rest]): Event => ({ ...rest, type }));
        let count = 0;
        await fc.assert(
          fc.asyncProperty(fc.array(event, { maxLength: 12 }), async (events) => {
            const threadId = `t${++count}`;
            await Promise.all([
              storeRun(store, threadId, `hard ${count}`, events),
              storeRun(store, `${threadId} neighbour`, `plain ${count}`, [custom(count)]),
            ]);
            expect((await history(store, threadId)).map(({ runId }) => runId)).toEqual([
              `hard ${count}`,
            ]);
            expect(await history(store, `${threadId} neighbour`)).toEqual([
              run(`plain ${count}`, [custom(count)]),
            ]);
            expect(await store.runningRun(threadId)).toBeNull();
          }),
          { numRuns: 60 },
        );
      });
    });

    describe("flush, stats and close", () => {
      test("flushing an idle store, and one that was never used, resolves", async () => {
        const store = openOne();
        await store.flush();
        await store.ready();
        await store.flush();
      });

      test("a store is not overloaded by a little, and says what it has done", async () => {
        const store = openOne();
        const before = store.stats();
        expect(before).toMatchObject({
          queueDepth: 0,
          queueBytes: 0,
          lagMs: 0,
          batches: 0,
          lastError: null,
        });
        await storeRun(store, "t", "r");
        await store.flush();
        expect(store.overloaded).toBe(false);
        const after = store.stats();
        expect(after).toMatchObject({ queueDepth: 0, queueBytes: 0, lagMs: 0, lastError: null });
        expect(after.batches).toBeGreaterThan(0);
      });

      test("ready resolves as often as it is asked", async () => {
        const store = openOne();
        await Promise.all([store.ready(), store.ready()]);
        await store.ready();
      });

      test("closing stores what is waiting", async () => {
        const open = setUp();
        const store = opened(open());
        const mine = await claimed(store, "t", "r");
        mine.append(custom(1));
        let stored = false;
        const finishing = mine.finish(notStalled).then(() => {
          stored = true;
        });
        await store.close(CLOSE_MS);
        await finishing;
        expect(stored).toBe(true);
        if (shared) expect(await history(opened(open()), "t")).toEqual([run("r", [custom(1)])]);
      });

      test("a store that was never used can be closed", async () => {
        await openOne().close(CLOSE_MS);
      });

      test("closing twice is closing once", async () => {
        const store = openOne();
        await store.ready();
        await store.close(CLOSE_MS);
        await store.close(CLOSE_MS);
      });

      test("a store that is closed refuses with a RunStoreError, and does not hang", async () => {
        const store = openOne();
        const held = await claimed(store, "t", "held");
        await store.close(CLOSE_MS);
        for (const attempt of [
          claim(store, "t", "r"),
          store.readHistory("t", null),
          store.runningRun("t"),
          held.finish(notStalled),
        ]) {
          await expect(attempt).rejects.toBeInstanceOf(RunStoreError);
        }
      });
    });

    describe.runIf(shared)("several stores on the same data", () => {
      const openTwo = () => {
        const open = setUp();
        return [opened(open()), opened(open())] as const;
      };

      test("a thread that one of them holds is refused to the other", async () => {
        const [one, other] = openTwo();
        const mine = await claimed(one, "t", "r1");
        const outcome = await claim(other, "t", "r2");
        expect(outcome).toMatchObject({ kind: "refused", code: "THREAD_ALREADY_RUNNING" });
        expect(outcome.kind === "refused" && outcome.message).toMatch(/\S/);
        expect((await other.runningRun("t"))?.runId).toBe("r1");
        await mine.finish(notStalled);
        expect(await claim(other, "t", "r2")).toMatchObject({ kind: "claimed" });
        expect((await one.runningRun("t"))?.runId).toBe("r2");
      });

      test("both may use one run id at once, on different threads", async () => {
        const [one, other] = openTwo();
        const first = await claimed(one, "t1", "r");
        const second = await claimed(other, "t2", "r");
        first.append(custom(1));
        second.append(custom(2));
        await Promise.all([one.flush(), other.flush()]);
        await Promise.all([first.finish(notStalled), second.finish(notStalled)]);
        expect(await history(other, "t1")).toEqual([run("r", [custom(1)])]);
        expect(await history(one, "t2")).toEqual([run("r", [custom(2)])]);
      });

      test("followers of two runs of one id, on one thread, each get their own", async () => {
        const [one, other] = openTwo();
        await other.ready();
        const first = await claimed(one, "t", "r");
        first.append(custom(1));
        await one.flush();
        const ofFirst = followed(other, "t", first.epoch);
        first.append(finished("t", "r"));
        const finishing = first.finish(notStalled);
        const second = await claimed(one, "t", "r");
        second.append(custom(2));
        await one.flush();
        const ofSecond = followed(other, "t", second.epoch);
        second.append(finished("t", "r"));
        await Promise.all([finishing, second.finish(notStalled)]);
        expect(await ofFirst).toEqual([custom(1), finished("t", "r")]);
        expect(await ofSecond).toEqual([custom(2), finished("t", "r")]);
        // And so does whoever comes when both are over.
        expect(await followed(other, "t", first.epoch)).toEqual(await ofFirst);
      });

      test("runs of one id that were in flight on several threads are each ended as their own", async () => {
        const open = setUp();
        const one = opened(open());
        const threads = ["t1", "t2", "t3"];
        await storeRun(one, "t2", "r", [custom("before")]);
        for (const threadId of threads) {
          const mine = await claimed(one, threadId, "r");
          mine.append(custom(threadId));
        }
        await one.close(CLOSE_MS);
        const next = opened(open());
        const interrupted = expect.objectContaining({ code: "RUN_INTERRUPTED" });
        for (const threadId of threads) {
          const runs = (await history(next, threadId)).map(({ runId, events }) => [
            runId,
            ...events,
          ]);
          const before = threadId === "t2" ? [["r", custom("before")]] : [];
          expect(runs).toEqual([...before, ["r", custom(threadId), interrupted]]);
        }
      });

      test("of many claims of one thread at once, exactly one gets it", async () => {
        const [one, other] = openTwo();
        await Promise.all([one.ready(), other.ready()]);
        const outcomes = await Promise.all([claim(one, "t", "r1"), claim(other, "t", "r2")]);
        expect(outcomes.map(({ kind }) => kind).sort()).toEqual(["claimed", "refused"]);
      });

      test("what one of them stored is history and seen in the other", async () => {
        const [one, other] = openTwo();
        await other.ready();
        await storeRun(one, "t", "r1", [started("t", "r1", ["a"]), finished("t", "r1")]);
        expect((await history(other, "t")).map(({ runId }) => runId)).toEqual(["r1"]);
        expect(await seen(other, "t", "r2", ["a", "b"])).toEqual([true, false]);
      });

      test("the run that one of them holds is live in the other's history", async () => {
        const [one, other] = openTwo();
        await storeRun(one, "t", "r1");
        const mine = await claimed(one, "t", "r2");
        expect(await other.readHistory("t", null)).toMatchObject({
          segments: [{ runId: "r1" }],
          live: { runId: "r2", epoch: mine.epoch },
        });
        expect(await other.readHistory("elsewhere", null)).toMatchObject({ live: null });
        await mine.finish(notStalled);
        expect((await other.readHistory("t", null)).live).toBeNull();
      });

      test("a follower gets a run from its first event to its last, in order, each once", async () => {
        const [one, other] = openTwo();
        await other.ready();
        const mine = await claimed(one, "t", "r");
        const events = Array.from({ length: 40 }, (_, index) => custom(index));
        const told: Event[] = [];
        const half = Promise.withResolvers<void>();
        const follow = async () => {
          for await (const segment of other.follow("t", mine.epoch, new AbortController().signal)) {
            told.push(...segment);
            if (told.length >= 20) half.resolve();
          }
        };
        const following = follow();
        for (const [index, event] of events.slice(0, 20).entries()) {
          mine.append(event);
          if (index % 5 === 0) await one.flush();
        }
        await one.flush();
        await half.promise;
        // Whoever comes later gets all of it, too.
        const late = followed(other, "t", mine.epoch);
        for (const event of events.slice(20)) mine.append(event);
        mine.append(finished("t", "r"));
        await mine.finish(notStalled);
        await following;
        expect(told).toEqual([...events, finished("t", "r")]);
        expect(await late).toEqual(told);
      });

      test("a follower of a run that was never journaled gets it when it is stored", async () => {
        const [one, other] = openTwo();
        await other.ready();
        const mine = await claimed(one, "t", "r");
        const following = followed(other, "t", mine.epoch);
        mine.append(custom(1));
        mine.append(finished("t", "r"));
        await mine.finish(notStalled);
        expect(await following).toEqual([custom(1), finished("t", "r")]);
      });

      test("a follower of a run that is released hears its end, if it heard its beginning", async () => {
        const [one, other] = openTwo();
        await other.ready();
        const mine = await claimed(one, "t", "r");
        const begun = Promise.withResolvers<void>();
        const told: Event[] = [];
        const follow = async () => {
          for await (const segment of other.follow("t", mine.epoch, new AbortController().signal)) {
            told.push(...segment);
            begun.resolve();
          }
        };
        const following = follow();
        mine.append(custom(1));
        await one.flush();
        await begun.promise;
        mine.append(finished("t", "r"));
        await mine.release();
        await following;
        expect(told).toEqual([custom(1), finished("t", "r")]);
        expect(await history(other, "t")).toEqual([]);
      });

      test("a follower may leave before the run has ended", async () => {
        const [one, other] = openTwo();
        await other.ready();
        const mine = await claimed(one, "t", "r");
        mine.append(custom(1));
        await one.flush();
        const left = new AbortController();
        const follow = async () => {
          for await (const _ of other.follow("t", mine.epoch, left.signal));
        };
        const leaving = follow();
        left.abort();
        await leaving;
      });

      test("a run is told to stop by the other, once, and counts as running no more", async () => {
        const [one, other] = openTwo();
        await other.ready();
        const mine = await claimedToBeStopped(one, "t", "r");
        expect(await other.requestStop("t", "another")).toBe(false);
        expect(await other.requestStop("elsewhere", null)).toBe(false);
        // What is asked of one's own run is not asked of the store.
        expect(await one.requestStop("t", "r")).toBe(false);
        expect((await other.runningRun("t"))?.runId).toBe("r");
        expect(await other.requestStop("t", "r")).toBe(true);
        expect(await mine.asked).toMatchObject({ discard: false });
        expect(await other.runningRun("t")).toBeNull();
        expect(await other.requestStop("t", null)).toBe(false);
        await mine.run.finish(notStalled);
        expect(await other.requestStop("t", null)).toBe(false);
        // The next run of the thread has nothing to do with it.
        const next = await claimed(one, "t", "r2");
        expect((await other.runningRun("t"))?.runId).toBe("r2");
        await next.release();
      });

      test("a claim that supersedes has the other's run end, and gets the thread then", async () => {
        const [one, other] = openTwo();
        await other.ready();
        const mine = await claimedToBeStopped(one, "t", "r1");
        const request = { ...plainRequest("t", "r2"), supersede: true };
        expect(await other.claim(request)).toMatchObject({ code: "THREAD_ALREADY_RUNNING" });
        expect(await mine.asked).toMatchObject({ discard: true });
        const { signal } = new AbortController();
        const free = other.released("t", signal);
        await mine.run.release();
        await free;
        expect(await other.claim(request)).toMatchObject({ kind: "claimed" });
      });

      test("one waits for a thread until it is free, or until it no longer wants to", async () => {
        const [one, other] = openTwo();
        await other.ready();
        await other.released("t", new AbortController().signal);
        const mine = await claimed(one, "t", "r");
        const left = new AbortController();
        const leaving = other.released("t", left.signal);
        const waiting = other.released("t", new AbortController().signal);
        left.abort();
        await leaving;
        await mine.finish(notStalled);
        await waiting;
        expect(await claim(other, "t", "r2")).toMatchObject({ kind: "claimed" });
      });

      test("a run in flight when its store closes is ended by the next store", async () => {
        const open = setUp();
        const one = opened(open());
        const mine = await claimed(one, "t", "r");
        mine.append(custom(1));
        mine.append(custom(2));
        await one.close(CLOSE_MS);
        const next = opened(open());
        await next.ready();
        expect(await next.runningRun("t")).toBeNull();
        const [only, ...rest] = await history(next, "t");
        expect(rest).toEqual([]);
        expect(only?.events.slice(0, 2)).toEqual([custom(1), custom(2)]);
        expect(only?.events.slice(2)).toEqual([
          expect.objectContaining({ type: "RUN_ERROR", code: "RUN_INTERRUPTED" }),
        ]);
      });

      test("a run of which nothing was appended leaves nothing when its store closes", async () => {
        const open = setUp();
        const one = opened(open());
        await claimed(one, "t", "r");
        await one.close(CLOSE_MS);
        const next = opened(open());
        expect(await history(next, "t")).toEqual([]);
        expect(await next.runningRun("t")).toBeNull();
        expect(await claim(next, "t", "r")).toMatchObject({ kind: "claimed" });
      });
    });
  });
}

function opened(store: RunStore): RunStore {
  // What a test made unstorable is that test's own business.
  onTestFinished(() => store.close(CLOSE_MS).catch(() => undefined));
  return store;
}

function notStalled(error: RunStoreError): void {
  throw new Error("storing stalled", { cause: error });
}

function notLost(error: RunStoreError): void {
  // A run that another one took over, or whose store was closed, is told so.
  expect(["LEASE_LOST", "RUNNER_CLOSED"]).toContain(error.code);
}

function claim(
  store: RunStore,
  threadId: string,
  runId: string,
  messageIds: readonly string[] = [],
  agentId: string | null = null,
): Promise<ClaimOutcome> {
  return store.claim({ ...plainRequest(threadId, runId), agentId, messageIds });
}

function plainRequest(threadId: string, runId: string): ClaimRequest {
  const run = { threadId, runId, agentId: null, messageIds: [], supersede: false };
  return { ...run, onLost: notLost, onStopRequested: notStopped };
}

function notStopped(): void {
  throw new Error("nobody asked this run to stop");
}

/** A claimed run, and what it was asked. */
async function claimedToBeStopped(
  store: RunStore,
  threadId: string,
  runId: string,
): Promise<{ run: ClaimedRun; asked: Promise<{ readonly discard: boolean }> }> {
  const { promise: asked, resolve } = Promise.withResolvers<{ readonly discard: boolean }>();
  const outcome = await store.claim({ ...plainRequest(threadId, runId), onStopRequested: resolve });
  if (outcome.kind === "refused") throw new Error(`refused: ${outcome.code}`);
  return { run: outcome.run, asked };
}

/** All that a follower is told, from the first event. */
async function followed(store: RunStore, threadId: string, epoch: number): Promise<Event[]> {
  const events: Event[] = [];
  const { signal } = new AbortController();
  for await (const segment of store.follow(threadId, epoch, signal)) events.push(...segment);
  return events;
}

async function claimed(...request: Parameters<typeof claim>): Promise<ClaimedRun> {
  const outcome = await claim(...request);
  if (outcome.kind === "refused") throw new Error(`refused: ${outcome.code}`);
  return outcome.run;
}

async function seen(
  store: RunStore,
  threadId: string,
  runId: string,
  messageIds: readonly string[],
): Promise<readonly boolean[]> {
  const outcome = await claim(store, threadId, runId, messageIds);
  if (outcome.kind === "refused") throw new Error(`refused: ${outcome.code}`);
  await outcome.run.release();
  return outcome.seen;
}

async function storeRun(
  store: RunStore,
  threadId: string,
  runId: string,
  events: readonly Event[] = [custom(runId)],
): Promise<void> {
  const run = await claimed(store, threadId, runId);
  run.setInput({ threadId, runId });
  for (const event of events) run.append(event);
  await run.finish(notStalled);
}

interface WholeRun {
  readonly runId: string;
  readonly events: readonly Event[];
}

const run = (runId: string, events: readonly Event[]): WholeRun => ({ runId, events });

async function pagesOf(store: RunStore, threadId: string, from: HistoryCursor | null = null) {
  const pages = [await store.readHistory(threadId, from)];
  for (let next = pages[0]?.next ?? null; next !== null; ) {
    const page = await store.readHistory(threadId, next);
    pages.push(page);
    next = page.next;
  }
  return pages;
}

/** The whole history, its segments put together by run; throws when they do not fit together. */
async function history(store: RunStore, threadId: string): Promise<WholeRun[]> {
  const runs: { runId: string; events: Event[] }[] = [];
  let open = false;
  for (const { segments } of await pagesOf(store, threadId)) {
    for (const { runId, first, last, events } of segments) {
      if (first === open) throw new Error(`a segment of ${runId} is out of place`);
      if (first) runs.push({ runId, events: [] });
      const current = runs.at(-1);
      if (current?.runId !== runId) throw new Error(`a segment of ${runId} is out of place`);
      current.events.push(...events);
      open = !last;
    }
  }
  if (open) throw new Error("the last run has no end");
  return runs;
}

const custom = (value: unknown): Event => ({ type: "CUSTOM", name: "n", value });

const started = (threadId: string, runId: string, messageIds: readonly string[]): Event => ({
  type: "RUN_STARTED",
  threadId,
  runId,
  input: { threadId, runId, messages: messageIds.map((id) => ({ id, role: "user", content: id })) },
});

const finished = (threadId: string, runId: string): Event => ({
  type: "RUN_FINISHED",
  threadId,
  runId,
});
