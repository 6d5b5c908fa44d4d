import { setImmediate as nextTask } from "node:timers/promises";
import {
  type ClaimedRun,
  type ClaimOutcome,
  type ClaimRequest,
  type HistoryCursor,
  type HistoryPage,
  type HistorySegment,
  type LiveRun,
  type RunStore,
  RunStoreError,
  type StoreStats,
} from "../../src/index.ts";

type Event = HistorySegment["events"][number];

interface StoredRun {
  readonly threadId: string;
  readonly runId: string;
  readonly epoch: number;
  readonly events: readonly Event[];
}

interface Holder extends Pick<ClaimRequest, "onLost" | "onStopRequested"> {
  readonly store: MemoryRunStore;
  readonly runId: string;
  readonly epoch: number;
  readonly events: Event[];
  stopRequested: boolean;
}

/** What stands for the disk: outlives the stores that share it. */
export class MemoryRuns {
  readonly stored: StoredRun[] = [];
  readonly holders = new Map<string, Holder>();
  readonly liveStores = new Set<MemoryRunStore>();
  /** The last epoch of each thread. */
  readonly #epochs = new Map<string, number>();
  #waiting: (() => void)[] = [];

  /** Wakes all who wait for something to happen. */
  changed(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  /** Resolves when something has happened, or with the signal. */
  async change(signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#waiting.push(resolve);
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
  }

  /** The run that holds the thread, unless its store is gone. */
  holderOf(threadId: string): Holder | undefined {
    const holder = this.holders.get(threadId);
    return holder !== undefined && this.liveStores.has(holder.store) ? holder : undefined;
  }

  nextEpoch(threadId: string): number {
    const epoch = (this.#epochs.get(threadId) ?? 0) + 1;
    this.#epochs.set(threadId, epoch);
    return epoch;
  }

  /** The run that holds the thread, and the last epoch that is over. */
  now(threadId: string): Pick<HistoryPage, "live" | "endedUpTo"> {
    const last = this.#epochs.get(threadId) ?? 0;
    const endedUpTo = this.holders.has(threadId) ? last - 1 : last;
    return { live: liveRun(this.holderOf(threadId)), endedUpTo };
  }

  messageIds(threadId: string): Set<unknown> {
    const ids = new Set<unknown>();
    for (const run of this.stored.filter((stored) => stored.threadId === threadId)) {
      for (const event of run.events) {
        if (typeof event.messageId === "string") ids.add(event.messageId);
        const input = event.input as { messages?: { id?: unknown }[] } | undefined;
        for (const message of input?.messages ?? []) ids.add(message.id);
      }
    }
    return ids;
  }
}

/** JSON of a page at most, unless one event alone is longer. */
const PAGE_LENGTH = 64 * 1024;

interface Cursor {
  readonly run: number;
  readonly event: number;
  readonly upTo: number;
}

/**
 * The port at its simplest: no file, no worker, no SQL, no batches. It is here to show that the
 * port and its contract ask for none of these, and to run a runner over another store than SQLite.
 */
export class MemoryRunStore implements RunStore {
  readonly overloaded = false;
  readonly stuck = false;
  readonly #runs: MemoryRuns;
  #open = true;
  #batches = 0;

  constructor(runs: MemoryRuns = new MemoryRuns()) {
    this.#runs = runs;
    runs.liveStores.add(this);
    for (const [threadId, holder] of runs.holders) {
      if (!runs.liveStores.has(holder.store)) this.#recover(threadId, holder);
    }
  }

  async ready(): Promise<void> {
    this.#assertOpen();
  }

  async claim(request: ClaimRequest): Promise<ClaimOutcome> {
    this.#assertOpen();
    const { threadId, runId, messageIds, onLost, onStopRequested } = request;
    const before = this.#runs.holders.get(threadId);
    const isForeign = before !== undefined && before.store !== this;
    if (isForeign && this.#runs.liveStores.has(before.store)) {
      if (request.supersede) before.onStopRequested({ discard: true });
      const message = "Thread already running";
      return { kind: "refused", code: "THREAD_ALREADY_RUNNING", message };
    }
    if (before !== undefined) this.#recover(threadId, before);
    const epoch = this.#runs.nextEpoch(threadId);
    const own = { store: this, runId, epoch, events: [], stopRequested: false };
    const holder: Holder = { ...own, onLost, onStopRequested };
    this.#runs.holders.set(threadId, holder);
    const known = this.#runs.messageIds(threadId);
    const seen = messageIds.map((id) => id !== "" && known.has(id));
    return { kind: "claimed", run: this.#claimedRun(threadId, holder), seen };
  }

  async readHistory(threadId: string, cursor: HistoryCursor | null): Promise<HistoryPage> {
    this.#assertOpen();
    // Whoever has claimed a thread before knows by then that it did.
    await nextTask();
    const from = (cursor as Cursor | null) ?? { run: 0, event: 0, upTo: this.#runs.stored.length };
    const now = cursor === null ? this.#runs.now(threadId) : { live: null, endedUpTo: 0 };
    const segments: HistorySegment[] = [];
    let length = 0;
    let begin = from.event;
    for (let run = from.run; run < from.upTo; run++) {
      const stored = this.#runs.stored[run];
      if (stored === undefined || stored.threadId !== threadId) continue;
      const { runId, events } = stored;
      let end = begin;
      for (; end < events.length; end++) {
        length += JSON.stringify(events[end]).length + 1;
        if (length > PAGE_LENGTH && segments.length + end > begin) break;
      }
      const last = end === events.length;
      if (end > begin || last) {
        const slice = { first: begin === 0, last, events: events.slice(begin, end) };
        segments.push({ runId, ...slice });
      }
      if (!last) return { segments, next: { run, event: end, upTo: from.upTo }, ...now };
      begin = 0;
    }
    return { segments, next: null, ...now };
  }

  async runningRun(threadId: string): Promise<LiveRun | null> {
    this.#assertOpen();
    const holder = this.#runs.holderOf(threadId);
    return holder?.stopRequested === true ? null : liveRun(holder);
  }

  async *follow(threadId: string, epoch: number, signal: AbortSignal) {
    this.#assertOpen();
    const ended = this.#runs.stored.find((run) => run.threadId === threadId && run.epoch === epoch);
    if (ended !== undefined) yield ended.events;
    const holder = this.#runs.holders.get(threadId);
    let at = 0;
    while (holder?.epoch === epoch && !signal.aborted) {
      this.#assertOpen();
      if (holder.events.length > at) {
        const news = holder.events.slice(at);
        at += news.length;
        yield news;
      } else if (this.#runs.holderOf(threadId) !== holder) {
        return;
      } else {
        await this.#runs.change(signal);
      }
    }
  }

  async requestStop(threadId: string, runId: string | null): Promise<boolean> {
    this.#assertOpen();
    const holder = this.#runs.holderOf(threadId);
    if (holder === undefined || holder.store === this || holder.stopRequested) return false;
    if (runId !== null && holder.runId !== runId) return false;
    holder.stopRequested = true;
    holder.onStopRequested({ discard: false });
    return true;
  }

  async released(threadId: string, signal: AbortSignal): Promise<void> {
    this.#assertOpen();
    while (!signal.aborted && this.#runs.holderOf(threadId) !== undefined) {
      this.#assertOpen();
      await this.#runs.change(signal);
    }
  }

  async flush(): Promise<void> {}

  async close(): Promise<void> {
    this.#open = false;
    this.#runs.liveStores.delete(this);
    this.#runs.changed();
  }

  stats(): StoreStats {
    const none = { p50: 0, p99: 0, max: 0 };
    const batches = this.#batches;
    return {
      queueDepth: 0,
      queueBytes: 0,
      lagMs: 0,
      batches,
      batchSize: none,
      commitMs: none,
      walBytes: 0,
      lastError: null,
    };
  }

  #claimedRun(threadId: string, holder: Holder): ClaimedRun {
    const { runs, events } = { runs: this.#runs, events: holder.events };
    const assertHeld = () => {
      if (runs.holders.get(threadId) === holder) return;
      throw new RunStoreError("LEASE_LOST", "the thread was taken over by another run");
    };
    return {
      epoch: holder.epoch,
      setInput: () => undefined,
      append: (event) => {
        if (!this.#open || runs.holders.get(threadId) !== holder) return;
        const copy = storable(event, []);
        if (isEvent(copy)) events.push(copy);
        runs.changed();
      },
      finish: async () => {
        this.#assertOpen();
        assertHeld();
        this.#store(threadId, holder, events);
      },
      release: async () => {
        this.#assertOpen();
        if (runs.holders.get(threadId) !== holder) return;
        runs.holders.delete(threadId);
        runs.changed();
      },
    };
  }

  #recover(threadId: string, holder: Holder): void {
    const message = "The store was closed before the run ended";
    const error = { type: "RUN_ERROR", message, code: "RUN_INTERRUPTED" };
    if (holder.events.length === 0) this.#runs.holders.delete(threadId);
    else
      this.#store(threadId, { ...holder, epoch: this.#runs.nextEpoch(threadId) }, [
        ...holder.events,
        error,
      ]);
  }

  #store(threadId: string, { runId, epoch }: Holder, events: readonly Event[]): void {
    this.#runs.stored.push({ threadId, runId, epoch, events });
    this.#runs.holders.delete(threadId);
    this.#runs.changed();
    this.#batches++;
  }

  #assertOpen(): void {
    if (!this.#open) throw new RunStoreError("RUNNER_CLOSED", "the store is closed");
  }
}

function liveRun(holder: Holder | undefined): LiveRun | null {
  return holder === undefined ? null : { runId: holder.runId, epoch: holder.epoch };
}

function isEvent(value: unknown): value is Event {
  return typeof (value as Event | undefined)?.type === "string";
}

/** A copy of what JSON can hold of `value`; undefined for what it cannot. */
function storable(value: unknown, ancestors: readonly unknown[]): unknown {
  try {
    if (typeof value !== "object" || value === null) return JSON.parse(JSON.stringify(value));
    if (ancestors.includes(value)) return undefined;
    if (Array.isArray(value)) {
      return value.map((item) => storable(item, [...ancestors, value]) ?? null);
    }
    const copy: Record<string, unknown> = Object.create(null);
    for (const key of Object.keys(value)) {
      const part = storableField(value, key, ancestors);
      if (part !== undefined) copy[key] = part;
    }
    return copy;
  } catch {
    return undefined;
  }
}

function storableField(from: object, key: string, ancestors: readonly unknown[]): unknown {
  try {
    return storable((from as Record<string, unknown>)[key], [...ancestors, from]);
  } catch {
    // A getter that throws costs its own field.
    return undefined;
  }
}
