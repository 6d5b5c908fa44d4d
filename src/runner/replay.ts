import { AsyncLocalStorage } from "node:async_hooks";
import { setImmediate as nextTask } from "node:timers/promises";
import { Observable, type Subscriber } from "rxjs";
import type { EventLike } from "../events/event.ts";
import { ReplayRepair } from "../events/repair/repair.ts";
import { ReplayView } from "../events/replay/replay-view.ts";
import type { StoredView } from "../events/view/thread-view.ts";
import { RunStoreError, toRunStoreError } from "../protocol/errors.ts";
import type { Scope } from "../protocol/scope.ts";
import type { HistoryPage, LiveRun, RunStore, ViewPoint } from "../store/run-store.ts";
import type { ActiveRun } from "./active-run.ts";

/** Events per task. Handling an event may cost its subscriber more than it costs the replay. */
const EVENTS_PER_TASK = 100;
/** Events that are taken from an `EventLog` at once. The log packs old events by the thousand. */
const MEMORY_CHUNK = 1000;

export interface ReplayRequest {
  readonly store: RunStore;
  readonly threadId: string;
  /** Or why the replay is refused. */
  readonly scope: Scope | RunStoreError;
  /** How many of the last runs are replayed whole. Undefined for all of them. */
  readonly runs?: number | undefined;
  /** The runs of the thread in this process that are not known to be stored. */
  readonly openRuns: (scope: Scope) => readonly ActiveRun[];
}

/**
 * Replays a thread from its first event to the end of its live run. With `runs`, older runs are folded
 * into one MESSAGES_SNAPSHOT and one STATE_SNAPSHOT, after the first RUN_STARTED.
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
 * One replay of a thread.
 *
 * Each run comes whole from one source. The history shows the store at one moment: a run that was stored
 * by then comes from the store. A later run comes from the memory of this process, or from its journal if
 * another process executes it. The epochs tell which runs the history contains.
 *
 * `ReplayRepair` makes the stream valid for clients. `ReplayView` gives clients the view of the thread.
 */
class ThreadReplay {
  readonly #request: ReplayRequest;
  readonly #subscriber: Subscriber<EventLike>;
  readonly #repair: ReplayRepair;
  readonly #view = new ReplayView();
  /** The view that was read last: the next one shares its messages. */
  #readLast: StoredView | undefined;
  /** Whether the client's view is corrected at each RUN_STARTED, and not at the end of the history. */
  #correctsAtStart = false;
  #sinceTask = 0;

  constructor(request: ReplayRequest, subscriber: Subscriber<EventLike>) {
    this.#request = request;
    this.#subscriber = subscriber;
    this.#repair = new ReplayRepair(request.threadId, (event) => this.#show(event));
  }

  async run(): Promise<void> {
    const { openRuns, scope } = this.#request;
    if (scope instanceof RunStoreError) throw scope;
    const open = openRuns(scope);
    // A run of another process may take the thread while this replay goes on. The runs that have begun by
    // now come before that run, the others come after it.
    const begun = open.filter((run) => run.hasBegun);
    const waiting = open.filter((run) => !run.hasBegun);
    const { live, endedUpTo } = await this.#replayHistory(scope);
    const fromMemory = async (runs: readonly ActiveRun[]) => {
      for (const run of runs) {
        if (run.epoch === null || run.epoch > endedUpTo) await this.#replayLive(run);
      }
    };
    this.#correctsAtStart = true;
    await fromMemory(begun);
    const isLive = (run: ActiveRun) => run.epoch === live?.epoch;
    if (live !== null && !open.some(isLive)) {
      // The live run may have begun in this process after this replay.
      const own = openRuns(scope).find(isLive);
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
    if (event.type !== "RUN_STARTED" || !this.#correctsAtStart) return;
    for (const correction of this.#view.corrections()) this.#amend(correction);
  }

  #amend(correction: EventLike | null): void {
    if (correction !== null) this.#repair.amend(correction);
  }

  /** Corrects the client's view over several tasks. */
  async #correct(): Promise<void> {
    for (const correction of this.#view.corrections()) {
      this.#amend(correction);
      if (correction === null) await nextTask();
      if (this.#subscriber.closed) return;
    }
  }

  async #replayHistory(scope: Scope): Promise<Pick<HistoryPage, "live" | "endedUpTo">> {
    let first: HistoryPage | null = null;
    let isTrimmed = false;
    let folded: Promise<StoredView> | null = null;
    for await (const page of this.#pages(scope)) {
      if (first === null) {
        first = page;
        folded = this.#readView(page.views?.before);
        // A failure is thrown where the view is awaited.
        folded?.catch(() => undefined);
      }
      isTrimmed ||= page.trimmed === true;
      for (const segment of page.segments) {
        if (segment.first) this.#repair.startRun(segment.runId, { live: false });
        let { events } = segment;
        if (folded !== null) events = await this.#beginFolded(folded, events);
        folded = null;
        await this.#emit(events);
        // From the second run on, the view is corrected once, after the last run.
        if (segment.last) this.#correctsAtStart = false;
      }
      if (this.#subscriber.closed) break;
    }
    if (isTrimmed && !this.#subscriber.closed) {
      await this.#expect(this.#readView(first?.views?.end));
    }
    await this.#correct();
    this.#repair.endRun();
    return first ?? { live: null, endedUpTo: 0 };
  }

  /**
   * Begins a history of which older runs are folded into the view that is `coming`. Returns the events that
   * are left. The client gets the RUN_STARTED at once: a long view takes a while.
   */
  async #beginFolded(
    coming: Promise<StoredView>,
    events: readonly EventLike[],
  ): Promise<readonly EventLike[]> {
    const [start, ...others] = events;
    if (start?.type !== "RUN_STARTED") {
      // Wherever the run begins, the client is corrected there.
      await this.#expect(coming);
      this.#correctsAtStart = true;
      return events;
    }
    this.#repair.next(this.#view.shownOf(start));
    await this.#expect(coming);
    this.#view.takeStart(start);
    await this.#correct();
    return others;
  }

  #readView(point: ViewPoint | null | undefined): Promise<StoredView> | null {
    const { store, threadId } = this.#request;
    return point == null ? null : (store.readView?.(threadId, point, this.#readLast) ?? null);
  }

  async #expect(coming: Promise<StoredView> | null): Promise<void> {
    if (coming === null) return;
    this.#readLast = await coming;
    for (const _ of this.#view.expect(this.#readLast)) await nextTask();
  }

  /** The pages of the thread's history. The next page is read while the current page is emitted. */
  async *#pages(scope: Scope): AsyncGenerator<HistoryPage, void, undefined> {
    const { store, threadId, runs } = this.#request;
    const read = (cursor: HistoryPage["next"]) =>
      store.readHistory(threadId, cursor, { scope, runs, forReplay: true });
    let coming: Promise<HistoryPage> | null = read(null);
    while (coming !== null) {
      const page: HistoryPage = await coming;
      coming = page.next === null ? null : read(page.next);
      // A failure is thrown when this page is awaited, or does not matter because the replay has ended.
      coming?.catch(() => undefined);
      yield page;
      // Begin a new task: a page that is ready would be emitted in the task of the page before it.
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
    // The run emits in the async context of its own request. Its replay has to go on in this context.
    const inOwnContext = AsyncLocalStorage.snapshot();
    this.#repair.startRun(run.runId, { live: true });
    let position = 0;
    const asStored = (event: EventLike) => run.storedAt(position++, event);
    // Emit the recorded events in pieces, so that a long run does not block the event loop.
    while (log.length - position > EVENTS_PER_TASK) {
      const events = log.slice(position, position + MEMORY_CHUNK);
      await this.#emit(events.map(asStored));
      if (this.#subscriber.closed) return;
    }
    await new Promise<void>((resolve) => {
      const follow = log.from(position).subscribe({
        next: (event) => {
          const stored = asStored(event);
          // The RUN_ERROR of a refused run is for its caller, not for clients of the thread.
          if (!run.refused) inOwnContext(() => this.#next(stored));
        },
        complete: resolve,
      });
      this.#subscriber.add(follow);
      this.#subscriber.add(resolve);
    });
    if (!run.refused) this.#repair.endRun();
  }

  /** Emits events over several tasks, so that other work gets its turn. */
  async #emit(events: readonly object[]): Promise<void> {
    for (const event of events) {
      if (++this.#sinceTask % EVENTS_PER_TASK === 0) await nextTask();
      if (this.#subscriber.closed) return;
      this.#next(event as EventLike);
    }
  }

  #next(event: EventLike): void {
    // Another program may have stored null as an event.
    const isStart = event?.type === "RUN_STARTED";
    if (isStart) this.#view.takeStart(event);
    this.#repair.next(isStart ? this.#view.shownOf(event) : event);
  }
}
