import { AsyncLocalStorage } from "node:async_hooks";
import { setImmediate as nextTask } from "node:timers/promises";
import { Observable, type Subscriber } from "rxjs";
import type { EventLike } from "../events/event.ts";
import { ReplayRepair } from "../events/repair/repair.ts";
import { ReplayView } from "../events/replay/replay-view.ts";
import { toRunStoreError } from "../protocol/errors.ts";
import type { HistoryPage, LiveRun, RunStore, ViewPoint } from "../store/run-store.ts";
import type { ActiveRun } from "./active-run.ts";

/** Events that are replayed in one task: each may cost its subscriber more than it does here. */
const EVENTS_PER_TASK = 100;
/** Events that are taken from memory at once, where the old ones are packed by the thousand. */
const MEMORY_CHUNK = 1000;

export interface ReplayRequest {
  readonly store: RunStore;
  readonly threadId: string;
  /** How many of the last runs are replayed whole. Undefined for all of them. */
  readonly runs?: number | undefined;
  /** The runs of the thread in this process that are not known to be stored. */
  readonly openRuns: () => readonly ActiveRun[];
}

/**
 * A thread from its first event to the end of its live run. With `runs`, older runs are folded into one
 * MESSAGES_SNAPSHOT and one STATE_SNAPSHOT, behind the first RUN_STARTED.
 */
export function replayThread(request: ReplayRequest): Observable<EventLike> {
  return new Observable<EventLike>((subscriber) => {
    const replay = new ThreadReplay(request, subscriber);
    replay.run().then(
      () => subscriber.complete(),
      (cause: unknown) => {
        replay.fail(cause);
        subscriber.complete();
      },
    );
  });
}

/**
 * One replay.
 *
 * The cut between history and live runs is by run. History is of one moment: a run that was stored by
 * then comes from the store, whole, and any other from memory, whole; or from its journal, if another
 * process executes it. Epochs tell which.
 *
 * `ReplayRepair` makes the stream one that clients accept. `ReplayView` leads clients to the view of the
 * thread.
 */
class ThreadReplay {
  readonly #request: ReplayRequest;
  readonly #subscriber: Subscriber<EventLike>;
  readonly #repair: ReplayRepair;
  readonly #view = new ReplayView();
  /** Whether the client's view is corrected at each RUN_STARTED, and not at the end of the history. */
  #correctsAtStart = false;
  #sinceTask = 0;

  constructor(request: ReplayRequest, subscriber: Subscriber<EventLike>) {
    this.#request = request;
    this.#subscriber = subscriber;
    this.#repair = new ReplayRepair(request.threadId, (event) => this.#show(event));
  }

  async run(): Promise<void> {
    const { openRuns } = this.#request;
    const open = openRuns();
    // Runs that have begun by now come before a run that holds the thread elsewhere after this. Runs that
    // have not begun come behind it.
    const begun = open.filter((run) => run.hasBegun);
    const waiting = open.filter((run) => !run.hasBegun);
    const { live, endedUpTo } = await this.#replayHistory();
    const fromMemory = async (runs: readonly ActiveRun[]) => {
      for (const run of runs) {
        if (run.epoch === null || run.epoch > endedUpTo) await this.#replayLive(run);
      }
    };
    this.#correctsAtStart = true;
    await fromMemory(begun);
    const isLive = (run: ActiveRun) => run.epoch === live?.epoch;
    if (live !== null && !open.some(isLive)) {
      // Or a run that began here after this replay did.
      const own = openRuns().find(isLive);
      if (own !== undefined) await this.#replayLive(own);
      else await this.#followForeign(live);
    }
    await fromMemory(waiting);
  }

  fail(cause: unknown): void {
    const { code, message } = toRunStoreError(cause);
    this.#repair.fail({ code, message });
  }

  #show(event: EventLike): void {
    this.#view.show(event);
    this.#subscriber.next(event);
    if (event.type === "RUN_STARTED" && this.#correctsAtStart) this.#correct();
  }

  #correct(): void {
    for (const correction of this.#view.corrections()) this.#repair.amend(correction);
  }

  async #replayHistory(): Promise<Pick<HistoryPage, "live" | "endedUpTo">> {
    let first: HistoryPage | null = null;
    let isTrimmed = false;
    for await (const page of this.#pages()) {
      if (first === null) {
        first = page;
        await this.#expectView(page.views?.before);
        this.#correctsAtStart = page.views?.before != null;
      }
      isTrimmed ||= page.trimmed === true;
      for (const segment of page.segments) {
        if (segment.first) this.#repair.startRun(segment.runId, { live: false });
        await this.#emit(segment.events);
        // From the second run on, the view is corrected once, behind the last one.
        if (segment.last) this.#correctsAtStart = false;
      }
      if (this.#subscriber.closed) break;
    }
    if (isTrimmed && !this.#subscriber.closed) await this.#expectView(first?.views?.end);
    this.#correct();
    this.#repair.endRun();
    return first ?? { live: null, endedUpTo: 0 };
  }

  async #expectView(point: ViewPoint | null | undefined): Promise<void> {
    const { store, threadId } = this.#request;
    if (point == null || store.readView === undefined) return;
    this.#view.expect(await store.readView(threadId, point));
  }

  /** The pages of the thread's history: the next one is read while one is emitted. */
  async *#pages(): AsyncGenerator<HistoryPage, void, undefined> {
    const { store, threadId, runs } = this.#request;
    const read = (cursor: HistoryPage["next"]) =>
      store.readHistory(threadId, cursor, { runs, forReplay: true });
    let coming: Promise<HistoryPage> | null = read(null);
    while (coming !== null) {
      const page: HistoryPage = await coming;
      coming = page.next === null ? null : read(page.next);
      // A failure is found out when the turn of the page comes.
      coming?.catch(() => undefined);
      yield page;
      // A page that is ready at once would be delivered in the task of the one before it.
      if (coming !== null) await nextTask();
    }
  }

  async #followForeign({ runId, epoch }: LiveRun): Promise<void> {
    const { store, threadId } = this.#request;
    if (this.#subscriber.closed) return;
    const left = new AbortController();
    this.#subscriber.add(() => left.abort());
    this.#repair.startRun(runId, { live: true });
    for await (const events of store.follow(threadId, epoch, left.signal)) {
      await this.#emit(events);
      if (this.#subscriber.closed) return;
    }
    this.#repair.endRun();
  }

  async #replayLive(run: ActiveRun): Promise<void> {
    if (this.#subscriber.closed) return;
    const { log } = run;
    // The run, and what it emits, is in the context of its own request.
    const inOwnContext = AsyncLocalStorage.snapshot();
    this.#repair.startRun(run.runId, { live: true });
    let position = 0;
    const asStored = (event: EventLike) => run.storedAt(position++, event);
    // What is there already goes out in pieces, so that a long run does not hold up the loop.
    while (log.length - position > EVENTS_PER_TASK) {
      const events = log.slice(position, position + MEMORY_CHUNK);
      await this.#emit(events.map(asStored));
      if (this.#subscriber.closed) return;
    }
    await new Promise<void>((resolve) => {
      const follow = log.from(position).subscribe({
        next: (event) => {
          const stored = asStored(event);
          // What a refused run says is for the one who asked for it.
          if (!run.refused) inOwnContext(() => this.#next(stored));
        },
        complete: resolve,
      });
      this.#subscriber.add(follow);
      this.#subscriber.add(resolve);
    });
    if (!run.refused) this.#repair.endRun();
  }

  /** Lets other tasks have their turn between the events. */
  async #emit(events: readonly object[]): Promise<void> {
    for (const event of events) {
      if (++this.#sinceTask % EVENTS_PER_TASK === 0) await nextTask();
      if (this.#subscriber.closed) return;
      this.#next(event as EventLike);
    }
  }

  #next(event: EventLike): void {
    this.#repair.next(event.type === "RUN_STARTED" ? this.#view.begin(event) : event);
  }
}
