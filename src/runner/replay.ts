import { AsyncLocalStorage } from "node:async_hooks";
import { setImmediate as nextTask } from "node:timers/promises";
import { Observable, type Subscriber } from "rxjs";
import type { EventLike } from "../events/event.ts";
import { ReplayRepair } from "../events/repair/repair.ts";
import { toRunStoreError } from "../protocol/errors.ts";
import type { HistoryPage, LiveRun, RunStore } from "../store/run-store.ts";
import type { ActiveRun } from "./active-run.ts";

/** Events that are replayed in one task: each may cost its subscriber more than it does here. */
const EVENTS_PER_TASK = 100;
/** Events that are taken from memory at once, where the old ones are packed by the thousand. */
const MEMORY_CHUNK = 1000;

/**
 * A thread from its first event to the end of its live run.
 *
 * The cut between the two is by run. History is of one moment: a run that was stored by then comes
 * from the store, whole, and any other from memory, whole; or from its journal, if another process
 * executes it. Epochs tell which.
 */
export function replayThread(
  store: RunStore,
  threadId: string,
  openRuns: () => readonly ActiveRun[],
): Observable<EventLike> {
  return new Observable<EventLike>((subscriber) => {
    const repair = new ReplayRepair(threadId, (event) => subscriber.next(event));
    replay(store, threadId, openRuns, repair, subscriber).then(
      () => subscriber.complete(),
      (cause: unknown) => {
        const { code, message } = toRunStoreError(cause);
        repair.fail({ code, message });
        subscriber.complete();
      },
    );
  });
}

async function replay(
  store: RunStore,
  threadId: string,
  openRuns: () => readonly ActiveRun[],
  repair: ReplayRepair,
  subscriber: Subscriber<EventLike>,
): Promise<void> {
  const open = openRuns();
  // Those that have begun by now come before a run that holds the thread elsewhere after this, and
  // those that have not come behind it.
  const begun = open.filter((run) => run.hasBegun);
  const waiting = open.filter((run) => !run.hasBegun);
  let live: LiveRun | null = null;
  let endedUpTo = 0;
  for await (const page of pagesOf(store, threadId)) {
    if (subscriber.closed) return;
    live ??= page.live;
    await emitPage(page, repair, subscriber);
    endedUpTo = Math.max(endedUpTo, page.endedUpTo);
    if (subscriber.closed) return;
  }
  const fromMemory = async (runs: readonly ActiveRun[]) => {
    for (const run of runs) {
      if (run.epoch === null || run.epoch > endedUpTo) await replayLive(run, repair, subscriber);
    }
  };
  await fromMemory(begun);
  const isLive = (run: ActiveRun) => run.epoch === live?.epoch;
  if (live !== null && !open.some(isLive)) {
    // Or a run that began here after this replay did.
    const own = openRuns().find(isLive);
    if (own !== undefined) await replayLive(own, repair, subscriber);
    else await followForeign(store, threadId, live, repair, subscriber);
  }
  await fromMemory(waiting);
}

/** The pages of a thread's history: the next one is read while one is emitted. */
async function* pagesOf(
  store: RunStore,
  threadId: string,
): AsyncGenerator<HistoryPage, void, undefined> {
  let coming: Promise<HistoryPage> | null = store.readHistory(threadId, null);
  while (coming !== null) {
    const page: HistoryPage = await coming;
    coming = page.next === null ? null : store.readHistory(threadId, page.next);
    // If it fails, that is found out when its turn comes, or nobody is there any more.
    coming?.catch(() => undefined);
    yield page;
    // A page that is ready at once would be delivered in the task of the one before it.
    if (coming !== null) await nextTask();
  }
}

async function followForeign(
  store: RunStore,
  threadId: string,
  { runId, epoch }: LiveRun,
  repair: ReplayRepair,
  subscriber: Subscriber<EventLike>,
): Promise<void> {
  if (subscriber.closed) return;
  const left = new AbortController();
  subscriber.add(() => left.abort());
  repair.startRun(runId, { live: true });
  const pace = new Pace();
  for await (const events of store.follow(threadId, epoch, left.signal)) {
    await pace.emit(events, repair, subscriber);
    if (subscriber.closed) return;
  }
  repair.endRun();
}

/** Lets other tasks have their turn between the events of a replay. */
class Pace {
  #events = 0;

  async emit(
    events: readonly object[],
    repair: ReplayRepair,
    subscriber: Subscriber<EventLike>,
  ): Promise<void> {
    for (const event of events) {
      if (++this.#events % EVENTS_PER_TASK === 0) await nextTask();
      if (subscriber.closed) return;
      repair.next(event as EventLike);
    }
  }
}

async function emitPage(
  page: HistoryPage,
  repair: ReplayRepair,
  subscriber: Subscriber<EventLike>,
): Promise<void> {
  const pace = new Pace();
  for (const segment of page.segments) {
    if (segment.first) repair.startRun(segment.runId, { live: false });
    await pace.emit(segment.events, repair, subscriber);
    if (segment.last) repair.endRun();
  }
}

async function replayLive(
  run: ActiveRun,
  repair: ReplayRepair,
  subscriber: Subscriber<EventLike>,
): Promise<void> {
  if (subscriber.closed) return;
  const { log } = run;
  // The run, and what it emits, is in the context of its own request.
  const inOwnContext = AsyncLocalStorage.snapshot();
  repair.startRun(run.runId, { live: true });
  let position = 0;
  // What is there already goes out in pieces, so that a long run does not hold up the loop.
  const pace = new Pace();
  while (log.length - position > EVENTS_PER_TASK) {
    const events = log.slice(position, position + MEMORY_CHUNK);
    await pace.emit(events, repair, subscriber);
    position += events.length;
    if (subscriber.closed) return;
  }
  await new Promise<void>((resolve) => {
    const follow = log.from(position).subscribe({
      next: (event) => {
        // What a refused run says is for the one who asked for it.
        if (!run.refused) inOwnContext(() => repair.next(event));
      },
      complete: resolve,
    });
    subscriber.add(follow);
    subscriber.add(resolve);
  });
  if (!run.refused) repair.endRun();
}
