import { RunStoreError, type RunStoreErrorCode } from "../../src/protocol/errors.ts";
import type { Batch, BatchMessage, OpResult, WriterOp } from "../../src/protocol/messages.ts";
import { Batcher, type BatcherOptions } from "../../src/store/queued/batcher.ts";
import { ClaimedRun } from "../../src/store/queued/claimed-run.ts";
import { HeldRuns } from "../../src/store/queued/held-runs.ts";
import { UnstoredRuns } from "../../src/store/queued/unstored-runs.ts";
import { collectingLogger } from "../support/open-runner.ts";

export const MAX_BATCH_BYTES = 1000;
export const LINGER_MS = 50;
/** Longer than any chain of retries in these tests, in the time of the fake clock. */
export const LONG_MS = 600_000;

/** The fate of a batch. "died after": it was committed, but its acknowledgement is lost. */
export type Fate =
  | "stored"
  | "full"
  | "locked"
  | "died before"
  | "died after"
  | "no writer"
  | "corrupt";

const FAULTS: Readonly<Record<Exclude<Fate, "stored">, RunStoreErrorCode>> = {
  full: "DISK_FULL",
  locked: "BUSY",
  "died before": "WRITER_DIED",
  "died after": "WRITER_DIED",
  "no writer": "NO_WRITER",
  corrupt: "CORRUPT",
};

interface Numbered {
  readonly n: number;
}

/** A model of the writer: its operations are idempotent. */
export class ModelWriter {
  /** Names of the operations, in the order in which they first took effect. */
  readonly applied: string[] = [];
  /** By run, which is a thread here, the numbers of the stored events. */
  readonly events = new Map<string, number[]>();
  readonly batches: (readonly WriterOp[])[] = [];
  /** By batch, whether it was said to be alone. */
  readonly alone: boolean[] = [];
  poison: string | null = null;
  mostInFlight = 0;
  #inFlight = 0;
  #turn: Promise<unknown> = Promise.resolve();
  /** The current thread: requests to a dead thread are lost with it. */
  #thread = 0;
  #committed: number | null = null;
  readonly #fates: Iterator<{ readonly fate: Fate; readonly ms: number }>;

  constructor(fates: readonly { readonly fate: Fate; readonly ms: number }[] = []) {
    this.#fates = fates[Symbol.iterator]();
  }

  /** Batches are committed one after another, in the order in which they were sent. */
  send: BatcherOptions["send"] = (batch) => {
    this.mostInFlight = Math.max(this.mostInFlight, ++this.#inFlight);
    this.batches.push(batch.ops);
    this.alone.push(batch.isAlone);
    const thread = this.#thread;
    const answer = this.#turn.then(() => this.#commit(batch, thread));
    this.#turn = answer.catch(() => {}).then(() => this.#inFlight--);
    return answer;
  };

  async #commit({ ops, seq, after }: Batch, thread: number): Promise<BatchMessage> {
    if (thread !== this.#thread) throw failure("died before");
    if (after !== null && after !== this.#committed) {
      throw new RunStoreError("STORE_FAILED", "out of turn");
    }
    const { fate, ms } = this.#fates.next().value ?? { fate: "stored", ms: 0 };
    if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms));
    if (ops.some((op) => nameOf(op) === this.poison)) this.#die("died before");
    if (fate === "stored" || fate === "died after") for (const op of ops) this.#apply(op);
    if (fate === "died before" || fate === "died after") this.#die(fate);
    if (fate !== "stored") throw failure(fate);
    this.#committed = seq;
    return acknowledgement(ops);
  }

  #die(fate: "died before" | "died after"): never {
    this.#thread++;
    this.#committed = null;
    throw failure(fate);
  }

  #apply(op: WriterOp): void {
    const name = nameOf(op);
    if (this.applied.includes(name)) return;
    this.applied.push(name);
    if (op.kind !== "append" && op.kind !== "finish") return;
    const numbers = (JSON.parse(op.events) as Numbered[]).map(({ n }) => n);
    this.events.set(op.threadId, [...(this.events.get(op.threadId) ?? []), ...numbers]);
  }
}

function failure(fate: Exclude<Fate, "stored">): RunStoreError {
  return new RunStoreError(FAULTS[fate], fate);
}

function acknowledgement(ops: readonly WriterOp[]): BatchMessage {
  return { results: ops.map((): OpResult => ({ ok: true })), walBytes: 0, synced: null };
}

export function nameOf(op: WriterOp): string {
  return `${op.kind} ${op.threadId}${op.kind === "append" ? ` ${op.seq}` : ""}`;
}

export function release(threadId: string): WriterOp {
  return { kind: "release", threadId, epoch: 1, segments: 0, seq: 0, events: "[]" };
}

export function claim(threadId: string): WriterOp {
  const run = {
    number: 1,
    threadId,
    runId: "r",
    messageIds: [],
    messageDigests: [],
    agentId: null,
    resourceId: null,
  };
  return { kind: "claim", ...run };
}

export function finish(threadId: string, unsent?: { events: string; segments: number }): WriterOp {
  const { events, segments } = unsent ?? { events: "[]", segments: 0 };
  const op = {
    threadId,
    runId: "r",
    epoch: 1,
    agentId: null,
    segments,
    unread: 0,
    seq: 0,
    events,
    input: null,
  };
  return { kind: "finish", ...op, compactMessages: null, large: [], finishedAt: 0 };
}

export function newRun(
  batcher: Batcher,
  threadId: string,
  onLost: (error: RunStoreError) => void = () => {},
): ClaimedRun {
  const logger = collectingLogger();
  const claim = { threadId, runId: "r", agentId: null, onLost, onStopRequested() {} };
  return new ClaimedRun(claim, 1, {
    batcher,
    held: new HeldRuns<ClaimedRun>(),
    unstored: new UnstoredRuns(batcher, logger, () => true),
    durability: null,
    rawEvents: true,
    compactsInFlight: false,
    instanceId: null,
    onStored: () => {},
    logger,
  });
}

export function open(
  writer: ModelWriter,
  { maxBatchBytes = MAX_BATCH_BYTES }: Partial<Pick<BatcherOptions, "maxBatchBytes">> = {},
): Batcher {
  return new Batcher({
    lingerMs: LINGER_MS,
    maxBatchBytes,
    send: writer.send,
    onTrouble: () => {},
  });
}

/** A promise with a handler, so that its rejection is never unhandled. */
export function settled<T>(promise: Promise<T>): {
  state: "pending" | "fulfilled" | RunStoreError;
} {
  const watched: ReturnType<typeof settled> = { state: "pending" };
  promise.then(
    () => {
      watched.state = "fulfilled";
    },
    (error: RunStoreError) => {
      watched.state = error;
    },
  );
  return watched;
}

export function push(run: ClaimedRun, n: number, size: number): void {
  run.append({ type: "CUSTOM", name: "n", n, value: "x".repeat(size) });
}
