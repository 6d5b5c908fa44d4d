import type { EventLike } from "../../events/event.ts";
import { SegmentBuilder } from "../../events/json/segment.ts";
import { serializeValue } from "../../events/json/serialize.ts";
import { isSnapshot } from "../../events/shared/repeating.ts";
import { RunStoreError, toRunStoreError } from "../../protocol/errors.ts";
import type { Logger } from "../../protocol/logger.ts";
import { type FinishOp, type OpResult, START_SEQ } from "../../protocol/messages.ts";
import { leaseChannel } from "../../telemetry/channels.ts";
import type { ClaimedRun as ClaimedRunPort, ClaimRequest } from "../run-store.ts";
import type { Durability } from "./backend.ts";
import type { Batcher } from "./batcher.ts";
import type { HeldRuns } from "./held-runs.ts";
import type { LingeringEvents } from "./linger-timer.ts";
import type { UnstoredRuns } from "./unstored-runs.ts";

/** UTF-16 units of a journal that one `compact` operation reads. */
const PIECE_LENGTH = 1024 * 1024;

/** UTF-16 units of a run that was stored. */
export interface StoredLength {
  /** Of its events as they were emitted. */
  readonly events: number;
  /** Of the snapshots among them. */
  readonly snapshots: number;
}

/** The parts of a store that its claimed runs write through. */
export interface WritePath {
  readonly batcher: Batcher;
  readonly held: HeldRuns<ClaimedRun>;
  readonly unstored: UnstoredRuns;
  readonly durability: Durability | null;
  /** Whether RAW events and `rawEvent` fields are stored. */
  readonly rawEvents: boolean;
  /** See `Backend`. */
  readonly compactsInFlight: boolean;
  readonly logger: Logger;
  /** For telemetry. Null for a store that has no name. */
  readonly instanceId: string | null;
  readonly onStored: (threadId: string, stored: StoredLength) => void;
}

/** The ids of a claimed run, and the callbacks of its claim. */
type Claim = Pick<ClaimRequest, "threadId" | "runId" | "agentId" | "onLost" | "onStopRequested">;

/**
 * A thread held for one run.
 *
 * The run's events gather here as JSON. They leave as segments of the journal, after the linger time or
 * when they fill a segment. The last events leave with the operation that ends the run.
 */
export class ClaimedRun implements ClaimedRunPort, LingeringEvents {
  readonly threadId: string;
  readonly runId: string;
  readonly epoch: number;
  /** Written by `LingerTimer` alone. */
  dueAt = 0;
  /** Written by `LingerTimer` alone. */
  lingersAt = -1;
  /** Written by `HeldRuns` alone. */
  heldAt = -1;
  readonly #claim: Claim;
  readonly #path: WritePath;
  readonly #segment: SegmentBuilder;
  #isLeaseLost = false;
  /** JSON of the run's input until it is sent. */
  #input: string | null = null;
  /** Why the run can never be stored whole, or null. */
  #failure: RunStoreError | null = null;
  #sentSegments = 0;
  /** UTF-16 units of JSON. */
  #sentLength = 0;
  /** How much of that `compact` operations were queued for. */
  #compactedLength = 0;
  #isCompacting = false;
  /** Whether the operation that ends the run is about to be queued: nothing of the run may follow it. */
  #hasEnded = false;

  constructor(claim: Claim, epoch: number, path: WritePath) {
    this.threadId = claim.threadId;
    this.runId = claim.runId;
    this.epoch = epoch;
    this.#claim = claim;
    this.#path = path;
    this.#segment = new SegmentBuilder(path);
    path.held.add(this);
  }

  setInput(input: unknown): void {
    const { json, lost } = serializeValue(input);
    this.#input = json;
    this.#warnLost(lost, "the run's input");
  }

  begin(start: EventLike): void {
    const { threadId, epoch } = this;
    const { json } = serializeValue([start]);
    const op = {
      kind: "append",
      threadId,
      epoch,
      seq: START_SEQ,
      events: json,
      input: null,
    } as const;
    this.#loseIfFailed(this.#path.batcher.enqueue(op));
  }

  append(event: EventLike): void {
    const before = this.length;
    const lost = this.#segment.push(event);
    if (lost.length > 0) this.#warnLost(lost, event.type);
    if (this.length > before) this.#path.batcher.linger(this, this.length - before);
  }

  async finish(onStalled: (error: RunStoreError) => void): Promise<void> {
    const { batcher, held, unstored, durability } = this.#path;
    held.remove(this);
    if (this.#failure !== null) {
      this.take();
      unstored.giveUp(this, this.#failure);
      throw this.#failure;
    }
    let result: OpResult<"finish">;
    try {
      const op = this.#finishOp();
      // What was journaled before is not looked at: it may be snapshots.
      let snapshots = op.segments > 0 ? this.#sentLength : 0;
      for (const { type, length } of op.large) if (isSnapshot(type)) snapshots += length;
      const stored = { events: this.#sentLength, snapshots };
      result = await batcher.enqueue(op, onStalled);
      if (result.ok) this.#path.onStored(this.threadId, stored);
      if (result.ok) await durability?.sync(onStalled);
    } catch (cause) {
      const error = toRunStoreError(cause);
      unstored.giveUp(this, error);
      throw error;
    }
    if (!result.ok) {
      const error = RunStoreError.from(result.fault);
      // After `LEASE_LOST` the thread belongs to another run: there is nothing to free.
      if (error.code !== "LEASE_LOST") unstored.giveUp(this, error);
      else this.#publishLost();
      throw error;
    }
  }

  async release(): Promise<void> {
    const { threadId, epoch } = this;
    const { batcher, held, unstored } = this.#path;
    held.remove(this);
    this.#hasEnded = true;
    const segments = this.#sentSegments;
    unstored.releasing(this);
    const op = { kind: "release", threadId, epoch, segments, ...this.take() } as const;
    if ((await batcher.enqueue(op)).ok) unstored.released(this);
  }

  /** Passes on that another process asks the run to end. */
  requestStop(request: { readonly discard: boolean }): void {
    this.#claim.onStopRequested(request);
  }

  /** Checks now whether the run was taken over, rather than at its next event. */
  loseUnlessHeld(): void {
    const { threadId, epoch } = this;
    this.#loseIfFailed(this.#path.batcher.enqueue({ kind: "confirm", threadId, epoch }));
  }

  /** Reports that the run was taken over, or can no longer be stored whole. */
  lose(error: RunStoreError): void {
    if (error.code !== "LEASE_LOST") {
      this.#failure ??= error;
      this.#path.unstored.add(this, error);
    } else {
      this.#publishLost();
    }
    this.#claim.onLost(error);
  }

  /** Several operations of the run may find that the lease is lost. */
  #publishLost(): void {
    if (this.#isLeaseLost || !leaseChannel.hasSubscribers) return;
    this.#isLeaseLost = true;
    const { threadId, runId, epoch } = this;
    const { instanceId } = this.#path;
    leaseChannel.publish({ kind: "lost", instanceId, threadId, runId, epoch });
  }

  /** UTF-16 units of JSON that wait here to be sent. */
  get length(): number {
    return this.#segment.length;
  }

  /** How many segments of this run were given to the batcher. */
  get sentSegments(): number {
    return this.#sentSegments;
  }

  /** Queues the waiting events as a segment of the journal. */
  send(): void {
    const { threadId, epoch } = this;
    const input = this.#takeInput();
    const op = { kind: "append", threadId, epoch, input, ...this.take() } as const;
    this.#loseIfFailed(this.#path.batcher.enqueue(op));
    if (this.#path.compactsInFlight) void this.#compactAhead();
  }

  /** Takes the waiting events as one segment, for an operation that carries it. */
  take(): { readonly seq: number; readonly events: string } {
    this.#path.batcher.unlinger(this);
    const seq = this.#sentSegments;
    const isEmpty = this.length === 0;
    const events = this.#segment.take();
    if (!isEmpty) {
      this.#sentSegments++;
      this.#sentLength += events.length;
    }
    return { seq, events };
  }

  #takeInput(): string | null {
    const input = this.#input;
    this.#input = null;
    return input;
  }

  /** Queues the reading ahead of a long journal. Returns the operation that has to follow. */
  #finishOp(): FinishOp {
    const { threadId, runId, epoch } = this;
    // Compacting a long journal at once would delay the other runs and the heartbeats.
    this.#hasEnded = true;
    while (this.#sentLength - this.#compactedLength >= PIECE_LENGTH) void this.#compactPiece();
    const unread = this.#sentLength - this.#compactedLength;
    const segments = this.#sentSegments;
    // The builder has seen the whole run only when no segment was sent before.
    const compactMessages = segments > 0 ? null : this.#segment.compactMessages;
    const { large } = this.#segment;
    return {
      kind: "finish",
      threadId,
      runId,
      agentId: this.#claim.agentId,
      epoch,
      finishedAt: Date.now(),
      segments,
      unread,
      ...this.take(),
      compactMessages,
      large,
      input: this.#takeInput(),
    };
  }

  /**
   * Has the next piece of the journal compacted, and those after it, one at a time: the journal of a run in flight
   * comes first.
   */
  async #compactAhead(): Promise<void> {
    if (this.#isCompacting) return;
    this.#isCompacting = true;
    while (!this.#hasEnded && this.#sentLength - this.#compactedLength >= PIECE_LENGTH) {
      await this.#compactPiece();
    }
    this.#isCompacting = false;
  }

  /** A failure is harmless: the `finish` operation then reads the whole journal. */
  async #compactPiece(): Promise<void> {
    const { threadId, epoch } = this;
    const segments = this.#sentSegments;
    const length = PIECE_LENGTH;
    this.#compactedLength += length;
    try {
      await this.#path.batcher.enqueue({ kind: "compact", threadId, epoch, length, segments });
    } catch (err) {
      this.#path.logger.debug({ err, threadId }, "a long run was not read ahead");
    }
  }

  #loseIfFailed(stored: Promise<OpResult>): void {
    stored.then(
      (result) => {
        if (!result.ok) this.lose(RunStoreError.from(result.fault));
      },
      (error: RunStoreError) => this.lose(error),
    );
  }

  #warnLost(lost: readonly string[], what: string): void {
    if (lost.length === 0) return;
    this.#path.logger.warn(
      { runId: this.runId, lost },
      `parts of ${what} are not stored: they cannot be written as JSON, or are too long`,
    );
  }
}
