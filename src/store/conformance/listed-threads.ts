import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import type { EventLike } from "../../events/event.ts";
import type { Scope } from "../../protocol/scope.ts";
import type { RunStore } from "../run-store.ts";
import type { ThreadQuery, ThreadStore, ThreadSummary } from "../thread-store.ts";
import { finished, started } from "./events.ts";
import type { Section } from "./section.ts";
import type { StoreUnderTest } from "./store-under-test.ts";

const NOBODY: Scope = { resourceId: null };
const ANN: Scope = { resourceId: "ann" };

/** For how long a text may be missing from a search, in milliseconds. */
const SEARCH_LAG_MS = 20_000;

function threadsOf({ port }: { readonly port: RunStore }): ThreadStore {
  if (port.threads === undefined) assert.fail("the store has threads");
  return port.threads;
}

const rejectsWith = (promise: Promise<unknown>, code: string) =>
  assert.rejects(promise, (error: { code?: unknown }) => error.code === code);

async function idsOf(store: StoreUnderTest, query: ThreadQuery, scope = NOBODY): Promise<string[]> {
  const { threads } = await threadsOf(store).list(query, scope);
  return threads.map(({ id }) => id);
}

async function get(store: StoreUnderTest, id: string, scope = NOBODY): Promise<ThreadSummary> {
  const thread = await threadsOf(store).get(id, scope);
  return thread ?? assert.fail(`the thread ${id} is known`);
}

/** All threads of a query, page by page. */
async function paged(store: StoreUnderTest, query: ThreadQuery): Promise<string[]> {
  const ids: string[] = [];
  let cursor: string | null = null;
  do {
    const page = await threadsOf(store).list({ ...query, cursor }, NOBODY);
    assert.ok(page.threads.length <= (query.limit ?? 50), "a page is not longer than its limit");
    ids.push(...page.threads.map(({ id }) => id));
    cursor = page.nextCursor;
  } while (cursor !== null);
  return ids;
}

/** A run in which a user says something, and gets an answer. */
function talk(threadId: string, runId: string, question: unknown, answer: string): EventLike[] {
  const messageId = `${runId}-answer`;
  const input = { messages: [{ id: `${runId}-question`, role: "user", content: question }] };
  return [
    { type: "RUN_STARTED", threadId, runId, input },
    { type: "TEXT_MESSAGE_START", messageId, role: "assistant" },
    { type: "TEXT_MESSAGE_CONTENT", messageId, delta: answer },
    { type: "TEXT_MESSAGE_END", messageId },
    finished(threadId, runId),
  ];
}

/** Waits until the search for a word that is nowhere else finds a thread: then all before it is found. */
async function indexed(store: StoreUnderTest, word: string): Promise<void> {
  const until = Date.now() + SEARCH_LAG_MS;
  while ((await idsOf(store, { search: word })).length === 0) {
    assert.ok(Date.now() < until, `${word} is found`);
    await delay(20);
  }
}

export const listedThreads: Section = {
  title: "listing threads",
  needs: ["threads"],
  define(test) {
    test("the thread in which a run ended last comes first", async ({ open }) => {
      const store = open();
      for (const id of ["a", "b", "c", "a"]) {
        await store.storeRun(id, `run-of-${id}`);
        await delay(2);
      }
      assert.deepEqual(await idsOf(store, {}), ["a", "c", "b"]);
      assert.deepEqual(await idsOf(store, { order: "updated" }), ["a", "c", "b"]);
      assert.deepEqual(await idsOf(store, { order: "created" }), ["c", "b", "a"]);
    });

    test("a thread whose run begins comes first", async ({ open }) => {
      const store = open();
      for (const id of ["a", "b"]) await store.storeRun(id, `run-of-${id}`);
      await delay(2);
      const run = await store.claimed("a", "second");
      assert.deepEqual(await idsOf(store, {}), ["a", "b"]);
      await run.release();
    });

    for (const order of ["updated", "created"] as const) {
      test(`each thread is on one page: ${order}`, async ({ open }) => {
        const store = open();
        const ids = Array.from({ length: 11 }, (_, at) => `thread ${at}`);
        await Promise.all(ids.map((id) => store.storeRun(id, `run of ${id}`)));
        for (const limit of [1, 4, 11, 500]) {
          const found = await paged(store, { limit, order });
          assert.deepEqual(found.toSorted(), ids.toSorted());
        }
      });
    }

    test("threads that move meanwhile hide none that does not", async ({ open }) => {
      const store = open();
      const ids = ["a", "b", "c", "d", "e", "f"];
      for (const id of ids) await store.storeRun(id, `run of ${id}`);
      const first = await threadsOf(store).list({ limit: 2 }, NOBODY);
      const [moved = ""] = ids.filter((id) => !first.threads.some((thread) => thread.id === id));
      await store.storeRun(moved, "later");
      const seen = first.threads.map(({ id }) => id);
      let cursor = first.nextCursor;
      while (cursor !== null) {
        const page = await threadsOf(store).list({ limit: 2, cursor }, NOBODY);
        seen.push(...page.threads.map(({ id }) => id));
        cursor = page.nextCursor;
      }
      const others = seen.filter((id) => id !== moved);
      assert.deepEqual(
        others.toSorted(),
        ids.filter((id) => id !== moved),
      );
    });

    test("after many runs at once, each thread is on one page, in the order of the runs", async ({
      open,
    }) => {
      const store = open();
      const ids = Array.from({ length: 1000 }, (_, at) => `thread ${at}`);
      for (const turn of ["first", "second"]) {
        await Promise.all(ids.map((id) => store.storeRun(id, `${turn} of ${id}`)));
      }
      const found: ThreadSummary[] = [];
      let cursor: string | null = null;
      do {
        const page = await threadsOf(store).list({ limit: 50, cursor }, NOBODY);
        found.push(...page.threads);
        cursor = page.nextCursor;
        await delay(10);
      } while (cursor !== null);
      assert.deepEqual(found.map(({ id }) => id).toSorted(), ids.toSorted());
      const newestFirst = found.toSorted((a, b) => b.updatedAt - a.updatedAt);
      assert.deepEqual(
        found.map(({ updatedAt }) => updatedAt),
        newestFirst.map(({ updatedAt }) => updatedAt),
      );
    });

    test("a cursor is for its own query", async ({ open }) => {
      const store = open();
      for (const id of ["a", "b", "c"]) await store.storeRun(id, `run of ${id}`);
      const threads = threadsOf(store);
      const { nextCursor } = await threads.list({ limit: 1 }, NOBODY);
      assert.ok(nextCursor !== null, "there is another page");
      const others: [ThreadQuery, Scope][] = [
        [{ order: "created" }, NOBODY],
        [{ archived: false }, NOBODY],
        [{ search: "a" }, NOBODY],
        [{ agentId: "a" }, NOBODY],
        [{ metadata: { a: 1 } }, NOBODY],
        [{}, ANN],
      ];
      for (const [query, scope] of others) {
        await rejectsWith(threads.list({ ...query, cursor: nextCursor }, scope), "INVALID_CURSOR");
      }
      for (const cursor of ["", "x", `${nextCursor}x`, "bnVsbA", "W10", "é"]) {
        await rejectsWith(threads.list({ cursor }, NOBODY), "INVALID_CURSOR");
      }
    });

    test("only threads of the scope are listed, read and changed", async ({ open }) => {
      const store = open();
      await (await store.claimed("of-ann", "r", { resourceId: "ann" })).finish();
      await store.storeRun("of-nobody", "r");
      assert.deepEqual(await idsOf(store, {}, ANN), ["of-ann"]);
      assert.deepEqual(await idsOf(store, {}, NOBODY), ["of-nobody"]);
      assert.deepEqual(await idsOf(store, {}, { resourceId: "bob" }), []);
      assert.deepEqual((await idsOf(store, {}, "every")).toSorted(), ["of-ann", "of-nobody"]);
      const threads = threadsOf(store);
      assert.equal((await get(store, "of-ann", ANN)).resourceId, "ann");
      for (const scope of [NOBODY, { resourceId: "bob" }]) {
        assert.equal(await threads.get("of-ann", scope), null);
        assert.deepEqual(await threads.runs("of-ann", {}, scope), { runs: [], nextCursor: null });
        await rejectsWith(threads.update("of-ann", { title: "x" }, scope), "THREAD_NOT_FOUND");
      }
      await rejectsWith(threads.update("unknown", { title: "x" }, NOBODY), "THREAD_NOT_FOUND");
      assert.equal((await get(store, "of-ann", ANN)).isTitled, false);
    });

    test("a thread is known from its first claim on, unless nothing is stored", async ({
      open,
    }) => {
      const store = open();
      const run = await store.claimed("t", "r");
      const { isRunning, runs, lastRun, title } = await get(store, "t");
      assert.deepEqual({ isRunning, runs, lastRun, title }, expectedNew);
      await run.release();
      assert.equal(await threadsOf(store).get("t", NOBODY), null);
      assert.deepEqual(await idsOf(store, {}), []);
    });

    test("a summary tells of the runs", async ({ open }) => {
      const store = open();
      const usage = [
        { model: "one", inputTokens: 10, outputTokens: 2 },
        { model: "other", inputTokens: 5 },
      ];
      const question = [
        { type: "text", text: " How\n\tare " },
        { type: "binary", mimeType: "image/png", data: "QUJD" },
        { type: "text", text: "you? " },
      ];
      const events = talk("t", "r1", question, "Fine.").slice(0, -1);
      await store.storeRun("t", "r1", [...events, { ...finished("t", "r1"), usage }]);
      const first = await get(store, "t");
      assert.equal(first.title, "How are you?");
      assert.deepEqual(first.tokens, { input: 15, output: 2 });
      assert.deepEqual([first.runs, first.messages, first.isRunning], [1, 2, false]);
      assert.ok(first.bytes > 200 && first.lastRun?.bytes === first.bytes);
      await delay(2);
      const failure = { type: "RUN_ERROR", message: "no", code: "NO_MODEL" };
      await store.storeRun("t", "r2", [started("t", "r2", ["m3"]), failure]);
      const second = await get(store, "t");
      const { outcome, errorCode, runId } = second.lastRun ?? assert.fail("it has a last run");
      assert.deepEqual([runId, outcome, errorCode], ["r2", "error", "NO_MODEL"]);
      assert.deepEqual([second.runs, second.messages, second.title], [2, 3, "How are you?"]);
      assert.ok(second.updatedAt > first.updatedAt && second.createdAt === first.createdAt);
      assert.deepEqual((await threadsOf(store).list({}, NOBODY)).threads, [second]);
      const interrupted = {
        ...finished("t", "r3"),
        outcome: { type: "interrupt", interrupts: [] },
      };
      await store.storeRun("t", "r3", [started("t", "r3", []), interrupted]);
      const { runs, nextCursor } = await threadsOf(store).runs(
        "t",
        { limit: 2, cursor: null },
        NOBODY,
      );
      assert.deepEqual(
        runs.map((run) => [run.runId, run.outcome]),
        [
          ["r1", "finished"],
          ["r2", "error"],
        ],
      );
      const rest = await threadsOf(store).runs("t", { cursor: nextCursor ?? "" }, NOBODY);
      assert.deepEqual(
        rest.runs.map((run) => run.outcome),
        ["interrupt"],
      );
      assert.equal(rest.nextCursor, null);
      await rejectsWith(threadsOf(store).runs("t", { cursor: "x" }, NOBODY), "INVALID_CURSOR");
    });

    test("titles, metadata and the archive are as they were set last", async ({ open }) => {
      const store = open();
      await store.storeRun("t", "r", talk("t", "r", "By default", "yes"));
      await store.storeRun("other", "r", talk("other", "r", "Other", "yes"));
      const { update } = threadsOf(store);
      const set: typeof update = (...change) => update.apply(threadsOf(store), change);
      const odd = 'q"\\\u2028\u{1f600}';
      const metadata = { list: [1], text: odd, number: 1.5, yes: true, none: null, [odd]: "key" };
      await set("t", { title: "Set", archived: true, metadata }, NOBODY);
      const { title, isTitled, archived, metadata: stored } = await get(store, "t");
      assert.deepEqual(
        { title, isTitled, archived },
        { title: "Set", isTitled: true, archived: true },
      );
      assert.deepEqual(stored, metadata);
      for (const fields of [
        { text: odd },
        { number: 1.5, yes: true },
        { none: null },
        { [odd]: "key" },
      ]) {
        assert.deepEqual(await idsOf(store, { metadata: fields }), ["t"]);
      }
      for (const fields of [
        { number: "1.5" },
        { yes: 1 },
        { none: false },
        { yes: true, more: 1 },
      ]) {
        assert.deepEqual(await idsOf(store, { metadata: fields }), []);
      }
      assert.deepEqual(await idsOf(store, { archived: true }), ["t"]);
      assert.deepEqual(await idsOf(store, { archived: false }), ["other"]);
      assert.equal((await idsOf(store, {})).length, 2);
      await set("t", { title: "Not this", onlyIfUntitled: true }, NOBODY);
      assert.equal((await get(store, "t")).title, "Set");
      await set("t", { title: null, archived: false, metadata: {} }, NOBODY);
      assert.equal((await get(store, "t")).title, "By default");
      assert.deepEqual(await idsOf(store, { metadata: { yes: true } }), []);
      await set("t", { title: "Made", onlyIfUntitled: true }, NOBODY);
      assert.equal((await get(store, "t")).title, "Made");
      assert.equal((await idsOf(store, { archived: false })).length, 2);
    });

    test("threads of an agent", async ({ open }) => {
      const store = open();
      for (const agentId of ["one", "two", null]) {
        await (await store.claimed(`of ${agentId}`, "r", { agentId })).finish();
      }
      assert.deepEqual(await idsOf(store, { agentId: "one" }), ["of one"]);
      assert.deepEqual(await idsOf(store, { agentId: "three" }), []);
      await (await store.claimed("of one", "r2", { agentId: "two" })).finish();
      await (await store.claimed("of one", "r3", { agentId: null })).finish();
      assert.equal((await get(store, "of one")).agentId, "two");
      assert.equal((await idsOf(store, { agentId: "two" })).length, 2);
    });
  },
};

const expectedNew = { isRunning: true, runs: 0, lastRun: null, title: null };

export const searchedThreads: Section = {
  title: "searching threads",
  needs: ["threads"],
  define(test) {
    test("each word begins a word of the title or of a message", async ({ open }) => {
      const store = open();
      await store.storeRun(
        "t",
        "r1",
        talk("t", "r1", "Où est l'ÉCOLE de Zoë?", "Près du 東京 café 🎉"),
      );
      await store.storeRun("t", "r2", talk("t", "r2", 'say "quoted-thing" NOT*', "it's done"));
      await store.storeRun("other", "r3", talk("other", "r3", "lastone", "nothing here"));
      await threadsOf(store).update("other", { title: "Überschrift" }, NOBODY);
      await indexed(store, "lastone");
      const found = [
        "ecol",
        "École zoe",
        "PRE caf",
        "東京",
        "🎉",
        "don quot",
        "quoted-thing",
        "zoë it",
      ];
      for (const search of found) assert.deepEqual(await idsOf(store, { search }), ["t"], search);
      for (const search of ["uber", "Über noth"]) {
        assert.deepEqual(await idsOf(store, { search }), ["other"], search);
      }
      for (const search of ["cole", "ecol nothing", "xyz", "ecol xyz", "x".repeat(5000)]) {
        assert.deepEqual(await idsOf(store, { search }), [], search);
      }
      assert.equal((await idsOf(store, { search: "not" })).length, 2);
      for (const search of ["", "  ", "*", '"', "'", "-", "()", "\0"]) {
        assert.equal((await idsOf(store, { search })).length, 2, JSON.stringify(search));
      }
      for (const search of [
        "a OR",
        "NEAR(",
        "words:x",
        "^a",
        'a"b',
        "{x}",
        "; DROP TABLE t",
        "\u{fdd0}",
      ]) {
        await threadsOf(store).list({ search }, NOBODY);
      }
      assert.deepEqual(await idsOf(store, { search: "ecole" }, ANN), []);
    });

    test("messages that only a snapshot has are found too", async ({ open }) => {
      const store = open();
      const long = "filler ".repeat(400);
      const messages = [
        { id: "m1", role: "user", content: `hello ${long}` },
        { id: "m2", role: "assistant", content: `snapshotted ${long}` },
        { id: "m3", role: "tool", toolCallId: "c", content: "toolresult" },
      ];
      const snapshot = { type: "MESSAGES_SNAPSHOT", messages };
      await store.storeRun("t", "r", [started("t", "r", ["m1"]), snapshot, finished("t", "r")]);
      await indexed(store, "snapshotted");
      assert.deepEqual(await idsOf(store, { search: "toolresult" }), []);
      assert.equal((await get(store, "t")).messages, 3);
    });
  },
};

export const searchedAfterRemoval: Section = {
  title: "searching threads after others were removed",
  needs: ["threads", "removal"],
  define(test) {
    test("it finds what is not there any more no more", async ({ open }) => {
      const store = open();
      await store.storeRun("t", "r1", talk("t", "r1", "gone", "away"));
      await store.storeRun("t2", "r2", talk("t2", "r2", "stays", "lastone"));
      await threadsOf(store).update("t2", { title: "first title" }, NOBODY);
      await indexed(store, "lastone");
      assert.deepEqual(await idsOf(store, { search: "gone" }), ["t"]);
      await threadsOf(store).delete("t", NOBODY);
      assert.deepEqual(await idsOf(store, { search: "gone" }), []);
      await store.storeRun("t", "r1", talk("t", "r1", "new", "anothersecond"));
      await indexed(store, "anothersecond");
      assert.deepEqual(await idsOf(store, { search: "gone" }), []);
      assert.deepEqual(await idsOf(store, { search: "first stays" }), ["t2"]);
      await threadsOf(store).update("t2", { title: "second" }, NOBODY);
      assert.deepEqual(await idsOf(store, { search: "first" }), []);
      assert.deepEqual(await idsOf(store, { search: "second stays" }), ["t2"]);
    });
  },
};
