import { setTimeout as delay, setImmediate as nextTask } from "node:timers/promises";
import type { EventLike } from "../../events/event.ts";
import { RunStoreError } from "../../protocol/errors.ts";
import type { Logger } from "../../protocol/logger.ts";
import type { HoldingRun, PageCursor } from "../../protocol/messages.ts";
import { type Scope, UNOWNED } from "../../protocol/scope.ts";
import { withDeadline } from "../../protocol/with-deadline.ts";
import { leaseChannel } from "../../telemetry/channels.ts";
import type {
  ClaimOutcome,
  ClaimRequest,
  HistoryCursor,
  HistoryOptions,
  HistoryPage,
  HistorySegment,
  LiveRun,
  RunStore,
  StoreStats,
} from "../run-store.ts";
import type { ThreadStore } from "../thread-store.ts";
import type { ThreadTransfer } from "../thread-transfer.ts";
import type { Backend, BackendNotice } from "./backend.ts";
import { Batcher } from "./batcher.ts";
import type { ClaimedRun, WritePath } from "./claimed-run.ts";
import { Claims } from "./claims.ts";
import { HeldRuns } from "./held-runs.ts";
import { OfferedRuns } from "./offered-runs.ts";
import { parseEvents } from "./parse-events.ts";
import { QueuedThreads } from "./queued-threads.ts";
import { requestStop } from "./request-stop.ts";
import { RunTailer } from "./run-tailer.ts";
import { StoredViews, viewPointsOf } from "./stored-views.ts";
import { ThreadRemovals } from "./thread-removals.ts";
import { UnstoredRuns } from "./unstored-runs.ts";

export interface QueuedRunStoreOptions {
  /** The name of this instance, for telemetry. */
  readonly instanceId?: string | undefined;
  readonly backend: Backend;
  readonly lingerMs: number;
  readonly maxBatchBytes: number;
  readonly maxPendingBytes: number;
  /** Milliseconds after which an instance that shows no sign of life counts as dead. */
  readonly leaseMs: number;
  readonly storeRawEvents: boolean;
  readonly logger: Logger;
}

/** Milliseconds that a step of `close` may take when the timeout has passed. */
const MIN_CLOSE_STEP_MS = 1000;

/**
 * A store that writes to its database in batches.
 *
 * This class holds the write path of every database: claims, the events of claimed runs, batches and
 * their retries, runs that could not be stored, and waiting for other instances. Nothing is opened
 * before its first use.
 */
export class QueuedRunStore implements RunStore {
  readonly hasResources = true;
  readonly backup?: NonNullable<RunStore["backup"]>;
  readonly probe?: NonNullable<RunStore["probe"]>;
  readonly readView?: NonNullable<RunStore["readView"]>;
  readonly interrupted?: OfferedRuns;
  readonly threads?: ThreadStore;
  readonly transfer?: ThreadTransfer;
  readonly #backend: Backend;
  readonly #instanceId: string | null;
  readonly #maxPendingBytes: number;
  readonly #logger: Logger;
  readonly #batcher: Batcher;
  readonly #held = new HeldRuns<ClaimedRun>();
  readonly #unstored: UnstoredRuns;
  readonly #claims: Claims;
  readonly #tailer: RunTailer;
  readonly #views: StoredViews | null;
  /** Why nothing more is stored, or null. */
  #lost: RunStoreError | null = null;
  #closed = false;

  constructor(options: QueuedRunStoreOptions) {
    const {
      backend,
      instanceId,
      lingerMs,
      maxBatchBytes,
      maxPendingBytes,
      storeRawEvents,
      logger,
    } = options;
    this.#backend = backend;
    this.#maxPendingBytes = maxPendingBytes;
    this.#logger = logger;
    this.#instanceId = instanceId ?? null;
    this.#batcher = new Batcher({
      instanceId,
      lingerMs,
      maxBatchBytes,
      send: (batch) => backend.commit(batch),
      onTrouble: (error, message) => logger.error({ err: error, code: error.code }, message),
    });
    this.#unstored = new UnstoredRuns(this.#batcher, logger, () => backend.status().opened);
    const readView = backend.readView?.bind(backend);
    const views = readView === undefined ? null : new StoredViews(backend, readView, logger);
    this.#views = views;
    const path: WritePath = {
      batcher: this.#batcher,
      held: this.#held,
      unstored: this.#unstored,
      durability: backend.durability,
      rawEvents: storeRawEvents,
      compactsInFlight: backend.compactsInFlight === true,
      logger,
      instanceId: this.#instanceId,
      onStored: (threadId, stored) => views?.noteStored(threadId, stored),
    };
    this.#claims = new Claims(path, options.leaseMs);
    this.#tailer = new RunTailer({
      look: (request) => backend.look(request),
      onWanted: () => backend.watch(),
      parse: (json, { threadId, epoch }) => parseEvents(json, logger, { threadId, epoch }),
    });
    const readRunInput = backend.readRunInput?.bind(backend);
    if (readRunInput !== undefined) {
      this.interrupted = new OfferedRuns(this.#batcher, readRunInput);
    }
    const probe = backend.probe?.bind(backend);
    if (probe !== undefined) this.probe = () => this.#unlessClosed(probe);
    const { backup } = backend;
    if (backup !== undefined) this.backup = backup.bind(backend);
    if (views !== null) this.readView = views.read.bind(views);
    const { transfer } = backend;
    if (transfer !== undefined) this.transfer = transfer;
    const { threads: reads, threadWrites: writes } = backend;
    if (reads !== undefined && writes !== undefined) {
      const { batcher, unstored } = path;
      const [claims, tailer] = [this.#claims, this.#tailer];
      const running: Backend["running"] = (request) => backend.running(request);
      const parts = { reads, writes, running, batcher, claims, tailer, logger };
      const removals = new ThreadRemovals(parts);
      this.threads = new QueuedThreads({ backend, reads, batcher, unstored, removals });
    }
    backend.onNotice((notice) => this.#handle(notice));
  }

  ready(): Promise<void> {
    return this.#unlessClosed(() => this.#backend.open());
  }

  claim(request: ClaimRequest): Promise<ClaimOutcome> {
    return this.#claims.claim(request);
  }

  async readHistory(
    threadId: string,
    cursor: HistoryCursor | null,
    { runs, run, forReplay = false, scope = UNOWNED }: HistoryOptions = {},
  ): Promise<HistoryPage> {
    if (forReplay && runs !== undefined) this.#views?.noteReplayed(threadId, runs);
    const page = await this.#backend.readPage({
      threadId,
      scope,
      cursor: cursor as PageCursor | null,
      runs: runs ?? null,
      forReplay,
      run: run ?? null,
    });
    const segments: HistorySegment[] = [];
    for (const { events, ...segment } of page.segments) {
      const { runId } = segment;
      segments.push({ ...segment, events: parseEvents(events, this.#logger, { threadId, runId }) });
    }
    await this.#claims.answered(page.live);
    const { next, endedUpTo, trimmed = false } = page;
    const live = this.#unlessEnded(threadId, page.live);
    const views = page.views === undefined ? {} : { views: viewPointsOf(page.views) };
    const details = page.run === undefined ? {} : { run: page.run };
    return { segments, next, live, endedUpTo, trimmed, ...views, ...details };
  }

  async runningRun(threadId: string, scope: Scope = UNOWNED): Promise<LiveRun | null> {
    const { run } = await this.#backend.running({ threadId, scope });
    return this.#unlessEnded(threadId, run);
  }

  async isOthers(threadId: string, scope: Scope): Promise<boolean> {
    return (await this.#backend.running({ threadId, scope })).isOthers;
  }

  follow(
    threadId: string,
    epoch: number,
    signal: AbortSignal,
  ): AsyncIterable<readonly EventLike[]> {
    return this.#tailer.follow(threadId, epoch, signal);
  }

  async requestStop(
    threadId: string,
    runId: string | null,
    scope: Scope = UNOWNED,
  ): Promise<boolean> {
    // The request may be written late, or twice: the run that executes now is meant, and none after it.
    const { run } = await this.#backend.running({ threadId, scope });
    if (run === null) return false;
    const { epoch } = run;
    return requestStop(this.#batcher, { threadId, runId, epoch, discard: false, scope });
  }

  released(threadId: string, signal: AbortSignal): Promise<void> {
    return this.#tailer.released(threadId, signal);
  }

  get overloaded(): boolean {
    return this.#batcher.pendingBytes > this.#maxPendingBytes;
  }

  get stuck(): boolean {
    return this.overloaded && this.#batcher.stuck;
  }

  async flush(): Promise<void> {
    await this.#stored();
    this.#unstored.expectNone("PERSISTENCE_FAILED");
    await this.#backend.check();
  }

  async close(timeoutMs: number): Promise<void> {
    this.#closed = true;
    const deadline = performance.now() + timeoutMs;
    const stepMs = () => Math.max(deadline - performance.now(), MIN_CLOSE_STEP_MS);
    this.#tailer.end(new RunStoreError("RUNNER_CLOSED", "the runner is closed"));
    this.#backend.endBackups?.();
    await withDeadline(this.#stored(), timeoutMs);
    const { lastError } = this.stats();
    const reason = lastError === null ? "" : `: ${lastError.message}`;
    const error = new RunStoreError("PERSISTENCE_FAILED", `not stored when closed${reason}`);
    this.#unstored.silence();
    this.#batcher.end(error);
    await this.#backend.close(error, stepMs);
    // The callers of the rejected operations need a turn to note the runs that are not stored.
    await delay(0);
    this.#unstored.expectNone("CLOSE_INCOMPLETE");
    if (this.#lost === null) return;
    throw new RunStoreError("CLOSE_INCOMPLETE", this.#lost.message, { cause: this.#lost });
  }

  stats(): StoreStats {
    const stats = this.#batcher.stats();
    const { walBytes, lastError } = this.#backend.status();
    return { ...stats, walBytes, lastError: lastError ?? stats.lastError };
  }

  async #unlessClosed(ask: () => Promise<void>): Promise<void> {
    if (this.#closed) throw new RunStoreError("RUNNER_CLOSED", "the runner is closed");
    await ask();
  }

  /** Resolves when everything given to the store so far is durable, or has failed for good. */
  async #stored(): Promise<void> {
    await this.#batcher.flush();
    // The callers of the acknowledged operations ask for their sync by the next task.
    await nextTask();
    await this.#backend.durability?.idle();
  }

  /** Null for a run that is known here to have ended: its followers would wait without end. */
  #unlessEnded(threadId: string, live: HoldingRun | null): LiveRun | null {
    if (live === null || this.#unstored.has(threadId, live)) return null;
    return { runId: live.runId, epoch: live.epoch };
  }

  #handle(notice: BackendNotice): void {
    switch (notice.kind) {
      case "changed":
        this.#tailer.changed();
        return;
      case "interrupted":
        this.interrupted?.offered(notice.runs);
        return;
      case "stop":
        this.#held.find(notice)?.requestStop(notice);
        return;
      case "overslept":
        if (leaseChannel.hasSubscribers) {
          leaseChannel.publish({ kind: "overslept", instanceId: this.#instanceId });
        }
        for (const run of this.#held) run.loseUnlessHeld();
        return;
      case "lost":
        this.#lost = notice.error;
        this.#unstored.silence();
        this.#tailer.end(notice.error);
        // A copy of the list: a lost run ends, and leaves the list.
        for (const run of [...this.#held]) run.lose(notice.error);
    }
  }
}
