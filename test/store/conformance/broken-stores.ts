import { setImmediate as nextTask } from "node:timers/promises";
import { type EventLike, RunStoreError } from "../../../src/index.ts";
import type { HistorySegment, RunStore } from "../../../src/store/run-store.ts";
import { brokenStore, storeOfBrokenRuns } from "./broken-store.ts";

/** Stores that break one rule each, and a test that fails for it. */
export const BROKEN_STORES: readonly (readonly [
  what: string,
  test: string,
  breakStore: (inner: RunStore) => RunStore,
])[] = [
  [
    "says that it can be written when it is closed",
    "close: what a health check asks of it succeeds while it is open, and is refused afterwards",
    (inner) => brokenStore(inner, { probe: async () => undefined }),
  ],
  [
    "forgets epochs",
    "claims: each claim of a thread has a higher epoch than those before it",
    (inner) => storeOfBrokenRuns(inner, () => ({ epoch: 1 })),
  ],
  [
    "answers every other claim late",
    "claims: claims of one thread are answered in the order in which they were made",
    (inner) => {
      let claims = 0;
      return brokenStore(inner, {
        claim: async (request) => {
          const isLate = claims++ % 2 === 0;
          const outcome = await inner.claim(request);
          if (isLate) for (let task = 0; task < 10; task++) await nextTask();
          return outcome;
        },
      });
    },
  ],
  [
    "refuses claims of a thread that a run of its own holds",
    "claims: a claim ends a run of its own store that was never given back, and gets the thread",
    (inner) =>
      brokenStore(inner, {
        claim: async (request) => {
          if ((await inner.runningRun(request.threadId)) === null) return inner.claim(request);
          return { kind: "refused", code: "THREAD_ALREADY_RUNNING", message: "held" };
        },
      }),
  ],
  [
    "begins to finish a run late",
    "claims: a claim that was made behind a finish knows the messages of that run",
    (inner) =>
      storeOfBrokenRuns(inner, (run) => ({
        finish: async (onStalled) => {
          await nextTask();
          await run.finish(onStalled);
        },
      })),
  ],
  [
    "cuts thread ids at NUL",
    "ids of any content: threads whose ids look alike are different threads",
    (inner) => {
      const cut = (id: string) => id.split("\0")[0] ?? "";
      return brokenStore(inner, {
        claim: (request) => inner.claim({ ...request, threadId: cut(request.threadId) }),
        readHistory: (threadId, cursor) => inner.readHistory(cut(threadId), cursor),
      });
    },
  ],
  [
    "knows no messages",
    "messages seen: those that stored events stream",
    (inner) =>
      brokenStore(inner, {
        claim: async (request) => {
          const outcome = await inner.claim(request);
          if (outcome.kind === "refused") return outcome;
          return { ...outcome, seen: outcome.seen.map(() => false) };
        },
      }),
  ],
  [
    "loses the last event of a run",
    "append, finish and release: events keep their order, however often the store was flushed between them",
    (inner) =>
      storeOfBrokenRuns(inner, (run) => {
        let last: EventLike | null = null;
        const append = (event: EventLike) => {
          if (last !== null) run.append(last);
          last = event;
        };
        return { append };
      }),
  ],
  [
    "stores events as they are when the run is finished",
    "append, finish and release: what is stored is the event as it was when it was appended",
    (inner) =>
      storeOfBrokenRuns(inner, (run) => {
        const events: EventLike[] = [];
        return {
          append: (event) => void events.push(event),
          finish: (onStalled) => {
            for (const event of events) run.append(event);
            return run.finish(onStalled);
          },
        };
      }),
  ],
  [
    "stores what was released",
    "append, finish and release: a run that was released leaves nothing: no history, no holder, and a free id",
    (inner) => storeOfBrokenRuns(inner, (run) => ({ release: () => run.finish(() => undefined) })),
  ],
  [
    "does not know what runs",
    "append, finish and release: a run holds its thread from its claim until it is finished",
    (inner) => brokenStore(inner, { runningRun: async () => null }),
  ],
  [
    "tells no live run",
    "history: names a run of this store as live only when its claim was answered",
    (inner) =>
      brokenStore(inner, {
        readHistory: async (...from) => ({ ...(await inner.readHistory(...from)), live: null }),
      }),
  ],
  [
    "does not tell what is over",
    "history: says up to which epoch runs are over, stored or not",
    (inner) =>
      brokenStore(inner, {
        readHistory: async (...from) => ({ ...(await inner.readHistory(...from)), endedUpTo: 0 }),
      }),
  ],
  [
    "tells what is over on every page",
    "pages of the history: only the first page tells which run is live, and what has ended",
    (inner) =>
      brokenStore(inner, {
        readHistory: async (threadId, cursor) => {
          const { endedUpTo } = await inner.readHistory(threadId, null);
          return { ...(await inner.readHistory(threadId, cursor)), endedUpTo };
        },
      }),
  ],
  [
    "gives the whole history as one page",
    "pages of the history: a page is not much larger than 64 KiB unless one event alone is",
    (inner) =>
      brokenStore(inner, {
        readHistory: async (threadId) => {
          const first = await inner.readHistory(threadId, null);
          const segments = [...first.segments];
          for (let { next } = first; next !== null; ) {
            const page = await inner.readHistory(threadId, next);
            segments.push(...page.segments);
            next = page.next;
          }
          return { ...first, segments, next: null };
        },
      }),
  ],
  [
    "marks every segment as the first of its run",
    "pages of the history: a run larger than a page comes in segments, the first and the last marked",
    (inner) =>
      brokenStore(inner, {
        readHistory: async (...from) => {
          const page = await inner.readHistory(...from);
          const asFirst = (segment: HistorySegment) => ({ ...segment, first: true });
          return { ...page, segments: page.segments.map(asFirst) };
        },
      }),
  ],
  [
    "cannot take a BigInt",
    "content that is hard to store: an event with a BigInt loses that part only",
    (inner) =>
      storeOfBrokenRuns(inner, (run) => ({
        append: (event) => run.append(JSON.parse(JSON.stringify(event))),
      })),
  ],
  [
    "counts what was stored as waiting",
    "flush and stats: a store is not overloaded by a little, and says what it has done",
    (inner) =>
      brokenStore(inner, {
        stats: () => ({ ...inner.stats(), queueDepth: inner.stats().batches }),
      }),
  ],
  [
    "counts with NaN",
    "flush and stats: what is told in numbers is finite, not negative, and in order",
    (inner) => brokenStore(inner, { stats: () => ({ ...inner.stats(), walBytes: Number.NaN }) }),
  ],
  [
    "answers when it is closed",
    "close: a store that is closed refuses with a RunStoreError, and does not hang",
    (inner) =>
      brokenStore(inner, {
        runningRun: (threadId) => inner.runningRun(threadId).catch(() => null),
      }),
  ],
  [
    "fails with errors of another kind",
    "close: a store that was closed before its first use refuses as well",
    (inner) =>
      brokenStore(inner, {
        ready: () => inner.ready().catch(() => Promise.reject(new Error("closed"))),
      }),
  ],
  [
    "tells a run that it was lost, which was not",
    "claims: a thread without a run can be claimed",
    (inner) =>
      storeOfBrokenRuns(inner, (_, { onLost }) => {
        onLost(new RunStoreError("DISK_FULL", "no room"));
        return {};
      }),
  ],
  [
    "gives followers a part of what was appended",
    "following a run of another store: a follower of a run that was never journaled gets it when it is stored",
    (inner) =>
      brokenStore(inner, {
        follow: async function* (...run) {
          for await (const events of inner.follow(...run)) yield events.slice(1);
        },
      }),
  ],
  [
    "asks no run of another store to stop",
    "stopping and superseding a run of another store: a run is told to stop by the other, once, and counts as running no more",
    (inner) => brokenStore(inner, { requestStop: async () => false }),
  ],
  [
    "gives a thread to whoever claims it",
    "threads of resources: the first claim gives a thread to its resource, and others are refused",
    (inner) =>
      brokenStore(inner, { claim: (request) => inner.claim({ ...request, resourceId: null }) }),
  ],
  [
    "shows a history to whoever knows the thread",
    "threads of resources: a history is empty for others, whether its run executes or is stored",
    (inner) =>
      brokenStore(inner, {
        readHistory: (threadId, cursor, options) =>
          inner.readHistory(threadId, cursor, { ...options, scope: "every" }),
      }),
  ],
  [
    "says that no thread is another's",
    "threads of resources: it is another's for all but its resource, and an unknown thread is nobody else's",
    (inner) => brokenStore(inner, { isOthers: async () => false }),
  ],
  [
    "says that an unknown thread is another's",
    "threads of resources: it is another's for all but its resource, and an unknown thread is nobody else's",
    (inner) =>
      brokenStore(inner, {
        isOthers: async (_, scope) => scope !== "every" && scope.resourceId !== "ann",
      }),
  ],
  [
    "tells everybody that a run holds a thread",
    "threads of resources: only its resource hears that a run holds the thread",
    (inner) =>
      brokenStore(inner, { runningRun: (threadId) => inner.runningRun(threadId, "every") }),
  ],
  [
    "lets everybody stop a run",
    "threads of resources, in several stores: only its resource can stop a run of another store",
    (inner) =>
      brokenStore(inner, {
        requestStop: (threadId, runId) => inner.requestStop(threadId, runId, "every"),
      }),
  ],
];
