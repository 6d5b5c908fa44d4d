import assert from "node:assert/strict";
import type { RunStore } from "../run-store.ts";
import type {
  ImportPart,
  MovedPage,
  MovedRun,
  MovedThread,
  ThreadTransfer,
} from "../thread-transfer.ts";
import { custom, finished, started } from "./events.ts";
import type { Section } from "./section.ts";
import type { StoreUnderTest } from "./store-under-test.ts";

function transferOf({ transfer }: RunStore): ThreadTransfer {
  if (transfer === undefined) assert.fail("the store moves threads");
  return transfer;
}

const thread = (threadId: string): MovedThread => ({
  threadId,
  resourceId: null,
  agentId: "agent",
  title: "A title",
  archived: true,
  metadata: '{"a":1,"b":{"c":[null]}}',
  createdAt: 1_700_000_000_000,
  updatedAt: 1_700_000_009_000,
  forkedFrom: { threadId: "origin", runId: "r" },
  epoch: 9,
});

/** A run with a message of its own, and the same long state as all others. */
function movedRun(threadId: string, epoch: number): MovedRun {
  const runId = `r${epoch}`;
  const events = [
    started(threadId, runId, [`m${epoch}`]),
    { type: "STATE_SNAPSHOT", snapshot: { text: "long ".repeat(1000) } },
    custom("\0 \ud800 😀"),
    finished(threadId, runId),
  ];
  const texts = [events.slice(0, 2), events.slice(2)].map((part) => JSON.stringify(part));
  const input = JSON.stringify({ threadId, runId, messages: [] });
  return { runId, epoch, agentId: "agent", endedAt: epoch, input, events: texts };
}

function part(threadId: string, changes: Partial<ImportPart>): ImportPart {
  const given = { importId: "import", thread: thread(threadId), messages: [], runs: [] };
  return { ...given, begins: false, ends: false, ...changes };
}

const whole = (threadId: string, epochs = [2, 5, 7]): ImportPart => {
  const runs = epochs.map((epoch) => movedRun(threadId, epoch));
  return part(threadId, { begins: true, ends: true, runs });
};

/** All that the pages of a thread tell, with the texts of each run as one list of events. */
async function readAll({ port }: StoreUnderTest, threadId: string) {
  const transfer = transferOf(port);
  let page: MovedPage | null = await transfer.read(threadId, null, "every");
  const head = page?.head;
  const runs: object[] = [];
  let events: unknown[] = [];
  while (page !== null) {
    for (const { run, events: text, isLast } of page.parts) {
      if (run !== null) {
        events = [];
        const { outcome, errorCode, input, ...rest } = run;
        runs.push({ ...rest, input: JSON.parse(input) as unknown, events });
      }
      events.push(...(JSON.parse(text) as unknown[]));
      assert.equal(typeof isLast, "boolean");
    }
    page = page.next === null ? null : await transfer.read(threadId, page.next, "every");
  }
  return { head, runs };
}

function asRead(run: MovedRun): object {
  const events = run.events.flatMap((text) => JSON.parse(text) as unknown[]);
  return { ...run, input: JSON.parse(run.input) as unknown, events };
}

export const movedThreads: Section = {
  title: "moving threads",
  needs: ["threads", "transfer"],
  define(test) {
    test("what is read of a thread is what was written", async ({ open }) => {
      const store = open();
      const imported = whole("t");
      await transferOf(store.port).write(imported);
      await transferOf(store.port).flush();
      const { head, runs } = await readAll(store, "t");
      const { metadata, ...rest } = head?.thread ?? thread("");
      assert.deepEqual(JSON.parse(metadata), { a: 1, b: { c: [null] } });
      const { metadata: _, ...written } = thread("t");
      assert.deepEqual(rest, written);
      assert.equal(head?.runs, 3);
      assert.deepEqual(runs, imported.runs.map(asRead));
    });

    test("a thread is unknown until its last piece, and no run gets it", async ({ open }) => {
      const store = open();
      const transfer = transferOf(store.port);
      const [first, second, third] = whole("t").runs as [MovedRun, MovedRun, MovedRun];
      await transfer.write(part("t", { begins: true, runs: [first] }));
      await transfer.write(part("t", { runs: [second] }));
      assert.equal(await transfer.read("t", null, "every"), null);
      assert.deepEqual(await store.storedRunIds("t"), []);
      assert.equal(await store.port.threads?.get("t", "every"), null);
      const outcome = await store.claim("t", "r");
      assert.equal(outcome.kind === "refused" && outcome.code, "THREAD_ALREADY_RUNNING");
      await transfer.write(part("t", { ends: true, runs: [third] }));
      assert.deepEqual(await store.storedRunIds("t"), ["r2", "r5", "r7"]);
      const summary = await store.port.threads?.get("t", "every");
      assert.deepEqual([summary?.title, summary?.runs, summary?.archived], ["A title", 3, true]);
    });

    test("the next run knows its messages, and gets a higher epoch", async ({ open }) => {
      const store = open();
      const messages = [["old", 0] as const];
      await transferOf(store.port).write({ ...whole("t"), messages });
      const known = await store.seen("t", "r", ["old", "m2", "m7", "new"]);
      assert.deepEqual(known, [true, true, true, false]);
      const { epoch } = await store.claimed("t", "r");
      assert.ok(epoch > thread("t").epoch);
    });

    test("epochs ascend, whatever those of the runs are", async ({ open }) => {
      const store = open();
      const runs = [0, 0, 4, 4].map((epoch, at) => ({
        ...movedRun("t", epoch),
        runId: `run-${at}`,
      }));
      await transferOf(store.port).write({ ...whole("t"), runs });
      const { runs: read } = await readAll(store, "t");
      const epochs = (read as MovedRun[]).map(({ epoch }) => epoch);
      assert.deepEqual(
        epochs,
        epochs.toSorted((a, b) => a - b),
      );
      assert.equal(new Set(epochs).size, 4);
      assert.deepEqual(await store.storedRunIds("t"), ["run-0", "run-1", "run-2", "run-3"]);
    });

    test("a thread that is known, or that is being imported, is not begun", async ({ open }) => {
      const store = open();
      const transfer = transferOf(store.port);
      await store.storeRun("known", "r");
      const held = await store.claimed("held", "r");
      await transfer.write(part("open", { begins: true, runs: whole("open").runs }));
      for (const threadId of ["known", "held", "open"]) {
        const again = { ...whole(threadId), importId: "another" };
        await assert.rejects(transfer.write(again), { code: "THREAD_EXISTS" });
      }
      assert.deepEqual(await store.storedRunIds("known"), ["r"]);
      await held.finish();
      await transfer.write(part("open", { ends: true }));
      assert.deepEqual(await store.storedRunIds("open"), ["r2", "r5", "r7"]);
    });

    test("an import that was abandoned leaves nothing", async ({ open }) => {
      const store = open();
      const transfer = transferOf(store.port);
      await transfer.write(part("t", { begins: true, runs: whole("t").runs }));
      await transfer.abandon("t", "another");
      await transfer.abandon("t", "import");
      await transfer.abandon("t", "import");
      await assert.rejects(transfer.write(part("t", { ends: true })), { code: "IMPORT_LOST" });
      assert.equal(await transfer.read("t", null, "every"), null);
      assert.deepEqual(await store.seen("t", "r", ["m2"]), [false]);
      await transfer.write(whole("t", [3]));
      assert.deepEqual(await store.storedRunIds("t"), ["r3"]);
    });

    test("a scope reads its own threads alone", async ({ open }) => {
      const store = open();
      const transfer = transferOf(store.port);
      await transfer.write({ ...whole("t"), thread: { ...thread("t"), resourceId: "ann" } });
      assert.equal(await transfer.read("t", null, { resourceId: "bob" }), null);
      assert.equal(await transfer.read("t", null, { resourceId: null }), null);
      const page = await transfer.read("t", null, { resourceId: "ann" });
      assert.equal(page?.head?.thread.resourceId, "ann");
    });
  },
};
