import { AsyncLocalStorage } from "node:async_hooks";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { RunStoreError, type RunStoreErrorCode } from "../../src/protocol/errors.ts";
import type { Batch, BatchMessage, OpResult, WriterOp } from "../../src/protocol/messages.ts";
import { Batcher, type BatcherOptions } from "../../src/store/queued/batcher.ts";
import { ClaimedRun } from "../../src/store/queued/claimed-run.ts";
import { HeldRuns } from "../../src/store/queued/held-runs.ts";
import { UnstoredRuns } from "../../src/store/queued/unstored-runs.ts";
import { collectingLogger } from "../support/open-runner.ts";

// Vitest fakes the global timers only: the batcher's delays go through them.
vi.mock("node:timers/promises", () => ({
  setTimeout: (ms: number, value?: unknown, options?: { signal?: AbortSignal }) =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(resolve, ms, value);
      options?.signal?.addEventListener("abort", () => {
        clearTimeout(timer);
        reject(new Error("aborted"));
      });
    }),
}));

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

const MAX_BATCH_BYTES = 1000;
const LINGER_MS = 50;
/** Longer than any chain of retries in these tests, in the time of the fake clock. */
const LONG_MS = 600_000;

/** The fate of a batch. "died after": it was committed, but its acknowledgement is lost. */
type Fate = "stored" | "full" | "locked" | "died before" | "died after" | "no writer" | "corrupt";

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
class ModelWriter {
  /** Names of the operations, in the order in which they first took effect. */
  readonly applied: string[] = [];
  /** By run, which is a thread here, the numbers of the stored events. */
  readonly events = new Map<string, number[]>();
  readonly batches: (readonly WriterOp[])[] = [];
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
  return { results: ops.map((): OpResult => ({ ok: true })), walBytes: 0 };
}

function nameOf(op: WriterOp): string {
  return `${op.kind} ${op.threadId}${op.kind === "append" ? ` ${op.seq}` : ""}`;
}

function release(threadId: string): WriterOp {
  return { kind: "release", threadId, epoch: 1, segments: 0, seq: 0, events: "[]" };
}

function claim(threadId: string): WriterOp {
  const run = {
    number: 1,
    threadId,
    runId: "r",
    messageIds: [],
    messageDigests: [],
    supersede: false,
  };
  return { kind: "claim", ...run };
}

function finish(threadId: string, unsent?: { events: string; segments: number }): WriterOp {
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

function newRun(
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
    onStored: () => {},
    logger,
  });
}

function open(writer: ModelWriter): Batcher {
  return new Batcher({
    lingerMs: LINGER_MS,
    maxBatchBytes: MAX_BATCH_BYTES,
    send: writer.send,
    onTrouble: () => {},
  });
}

/** A promise with a handler, so that its rejection is never unhandled. */
function settled<T>(promise: Promise<T>): { state: "pending" | "fulfilled" | RunStoreError } {
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

function push(run: ClaimedRun, n: number, size: number): void {
  run.append({ type: "CUSTOM", name: "n", n, value: "x".repeat(size) });
}

const command = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constantFrom("claim", "release"), run: fc.nat(5) }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant("event"),
      run: fc.nat(5),
      size: fc.oneof(fc.nat(100), fc.nat(2000)),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("finish"), run: fc.nat(5) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("flush") }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("wait"), ms: fc.nat(120) }) },
);
type Command = {
  readonly do: string;
  readonly run?: number;
  readonly size?: number;
  readonly ms?: number;
};

const fates = (...kinds: Fate[]) =>
  fc.array(fc.record({ fate: fc.constantFrom(...kinds), ms: fc.nat(30) }), { maxLength: 30 });

interface Trace {
  readonly batcher: Batcher;
  readonly writer: ModelWriter;
  /** Every queued operation, in order, and the outcome of its promise. */
  readonly ops: { readonly name: string; readonly outcome: ReturnType<typeof settled> }[];
  /** By run, the numbers of the events that were pushed. */
  readonly pushed: Map<string, number[]>;
  readonly lost: Map<string, RunStoreError>;
  /** The operations that were not settled when a later flush had resolved. */
  readonly early: string[];
}

/** Executes random commands. After a run is finished, another run with a new id takes its place. */
async function play(commands: readonly Command[], writer: ModelWriter): Promise<Trace> {
  const batcher = open(writer);
  const trace: Trace = { batcher, writer, ops: [], pushed: new Map(), lost: new Map(), early: [] };
  const runs = new Map<number, ClaimedRun>();
  let count = 0;
  const runOf = (run: number) => {
    let claimed = runs.get(run);
    if (claimed === undefined) {
      const runId = `run ${run} ${count++}`;
      claimed = newRun(batcher, runId, (error) => trace.lost.set(runId, error));
      runs.set(run, claimed);
      trace.pushed.set(runId, []);
    }
    return claimed;
  };
  const enqueue = (op: WriterOp) => {
    trace.ops.push({ name: nameOf(op), outcome: settled(batcher.enqueue(op)) });
  };
  for (const { do: action, run = 0, size = 0, ms = 0 } of commands) {
    if (action === "claim") enqueue(claim(`claim ${count++}`));
    if (action === "release") enqueue(release(`release ${count++}`));
    if (action === "event") {
      const claimed = runOf(run);
      const numbers = trace.pushed.get(claimed.threadId);
      push(claimed, numbers?.length ?? 0, size);
      numbers?.push(numbers.length);
    }
    if (action === "finish") {
      const claimed = runOf(run);
      const segments = claimed.sentSegments;
      enqueue(finish(claimed.threadId, { ...claimed.take(), segments }));
      runs.delete(run);
    }
    if (action === "flush") {
      const before = trace.ops.slice();
      const pushed = structuredClone([...trace.pushed]);
      void batcher.flush().then(() => {
        for (const { name, outcome } of before) {
          if (outcome.state === "pending") trace.early.push(name);
        }
        for (const [runId, numbers] of pushed) {
          if (trace.lost.has(runId) || wasRejected(trace, runId)) continue;
          const stored = writer.events.get(runId) ?? [];
          if (!numbers.every((n) => stored.includes(n))) trace.early.push(`events of ${runId}`);
        }
      });
    }
    if (action === "wait") await vi.advanceTimersByTimeAsync(ms);
  }
  return trace;
}

function wasRejected({ ops }: Trace, runId: string): boolean {
  return ops.some(
    ({ name, outcome }) => name === `finish ${runId}` && outcome.state !== "fulfilled",
  );
}

async function settleAll({ batcher, writer, early }: Trace): Promise<void> {
  const flushed = settled(batcher.flush());
  await vi.advanceTimersByTimeAsync(LONG_MS);
  expect(flushed.state).toBe("fulfilled");
  expect(early).toEqual([]);
  expect(writer.mostInFlight).toBeLessThanOrEqual(3);
}

/** True when `part` occurs in `whole`, in order, with gaps. */
function isSubsequence(part: readonly unknown[], whole: readonly unknown[]): boolean {
  let at = 0;
  for (const item of whole) if (at < part.length && item === part[at]) at++;
  return at === part.length;
}

describe("a batcher before a writer that fails at random", () => {
  it("stores everything once, in order, when every failure passes", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(command, { maxLength: 60 }),
        fates("stored", "full", "locked", "died before", "died after", "no writer"),
        async (commands, plan) => {
          const trace = await play(commands, new ModelWriter(plan));
          await settleAll(trace);
          const { writer, ops, batcher } = trace;
          const claimed = (name: string) => name.startsWith("claim");
          for (const { name, outcome } of ops) {
            // A claim is rejected after a stall. Every other operation is stored in the end, unless
            // several deaths in a row made it look as if it ended its writer.
            if (outcome.state === "fulfilled") continue;
            expect(outcome.state, name).toBeInstanceOf(RunStoreError);
            const { code } = outcome.state as RunStoreError;
            if (!claimed(name)) expect(code, name).toBe("WRITER_FAILED");
          }
          const stored = ops.filter(({ outcome }) => outcome.state === "fulfilled");
          expect(writer.applied).toEqual(expect.arrayContaining(stored.map(({ name }) => name)));
          expect(new Set(writer.applied).size).toBe(writer.applied.length);
          const direct = writer.applied.filter((name) => !name.startsWith("append"));
          expect(
            isSubsequence(
              direct,
              ops.map(({ name }) => name),
            ),
          ).toBe(true);
          for (const [runId, numbers] of trace.pushed) {
            const events = writer.events.get(runId) ?? [];
            if (trace.lost.has(runId) || wasRejected(trace, runId)) {
              expect(isSubsequence(events, numbers), runId).toBe(true);
            } else {
              expect(events, runId).toEqual(numbers);
            }
          }
          expect(batcher.pendingBytes).toBe(0);
          expect(batcher.stats()).toMatchObject({ queueDepth: 0, queueBytes: 0 });
        },
      ),
      { numRuns: 300 },
    );
  });

  it("settles every promise when failures are final, and rejects those that were lost", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(command, { maxLength: 60 }),
        fates("stored", "corrupt", "full", "died after"),
        async (commands, plan) => {
          const trace = await play(commands, new ModelWriter(plan));
          await settleAll(trace);
          const { writer, ops } = trace;
          for (const { name, outcome } of ops) {
            expect(outcome.state, name).not.toBe("pending");
            if (outcome.state === "fulfilled") expect(writer.applied).toContain(name);
          }
          for (const [runId, numbers] of trace.pushed) {
            const events = writer.events.get(runId) ?? [];
            expect(isSubsequence(events, numbers), runId).toBe(true);
            const known = trace.lost.has(runId) || wasRejected(trace, runId);
            if (!known) expect(events, runId).toEqual(numbers);
          }
          expect(trace.batcher.pendingBytes).toBe(0);
        },
      ),
      { numRuns: 300 },
    );
  });

  it("sends no batch larger than maxBatchBytes, unless a single operation is larger", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(command, { maxLength: 60 }), fates("stored"), async (c, plan) => {
        const trace = await play(c, new ModelWriter(plan));
        await settleAll(trace);
        for (const batch of trace.writer.batches) {
          if (batch.length === 1) continue;
          const bytes = batch.reduce((sum, op) => sum + ("events" in op ? op.events.length : 0), 0);
          expect(bytes).toBeLessThanOrEqual(MAX_BATCH_BYTES);
        }
        // Nothing failed, so nothing was sent twice.
        expect(trace.writer.batches.flat().length).toBe(trace.writer.applied.length);
      }),
      { numRuns: 200 },
    );
  });

  it("gives up on no operation that was not sent, however often there is no writer", async () => {
    const writer = new ModelWriter(Array(30).fill({ fate: "no writer", ms: 0 }));
    const outcome = settled(open(writer).enqueue(release("t")));
    await vi.advanceTimersByTimeAsync(LONG_MS);
    expect(outcome.state).toBe("fulfilled");
    expect(writer.applied).toEqual([nameOf(release("t"))]);
  });

  it("gives up only the operation that ends the writer", async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 12 }), fc.nat(), async (size, seed) => {
        const writer = new ModelWriter();
        const names = Array.from({ length: size }, (_, at) => `op ${at}`);
        const poisoned = names[seed % size] ?? "";
        writer.poison = nameOf(release(poisoned));
        const batcher = open(writer);
        const outcomes = names.map((name) => settled(batcher.enqueue(release(name))));
        const flushed = settled(batcher.flush());
        await vi.advanceTimersByTimeAsync(LONG_MS);
        expect(flushed.state).toBe("fulfilled");
        for (const [at, { state }] of outcomes.entries()) {
          if (names[at] === poisoned) expect(state).toMatchObject({ code: "WRITER_FAILED" });
          else expect(state).toBe("fulfilled");
        }
        expect(writer.applied).toEqual(
          names.filter((name) => name !== poisoned).map((name) => nameOf(release(name))),
        );
        expect(batcher.pendingBytes).toBe(0);
      }),
      { numRuns: 60 },
    );
  });

  it("rejects all unsettled operations when it is ended, at any moment", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(command, { maxLength: 60 }),
        fates("full", "died before", "died after", "stored"),
        fc.nat(400),
        async (commands, plan, ms) => {
          const writer = new ModelWriter(plan);
          const trace = await play(commands, writer);
          const { batcher, ops } = trace;
          const flushed = settled(batcher.flush());
          await vi.advanceTimersByTimeAsync(ms);
          const sent = writer.batches.length;
          batcher.end(new RunStoreError("PERSISTENCE_FAILED", "closed"));
          await vi.advanceTimersByTimeAsync(0);
          expect(flushed.state).toBe("fulfilled");
          for (const { name, outcome } of ops) {
            expect(outcome.state, name).not.toBe("pending");
            if (outcome.state === "fulfilled") expect(writer.applied).toContain(name);
          }
          await expect(batcher.enqueue(release("late"))).rejects.toMatchObject({
            code: "RUNNER_CLOSED",
          });
          // An acknowledgement that arrives after the end changes nothing.
          await vi.advanceTimersByTimeAsync(LONG_MS);
          expect(writer.batches.length).toBe(sent);
          expect(batcher.pendingBytes).toBe(0);
          expect(vi.getTimerCount()).toBe(0);
        },
      ),
      { numRuns: 200 },
    );
  });
});

describe("stats", () => {
  it("tell how long the oldest operation has been waiting, however often it failed", async () => {
    const writer = new ModelWriter([
      { fate: "full", ms: 10 },
      { fate: "stored", ms: 40 },
    ]);
    const batcher = open(writer);
    expect(batcher.stats().lagMs).toBe(0);
    void batcher.enqueue(release("first"));
    await vi.advanceTimersByTimeAsync(20);
    void batcher.enqueue(release("second"));
    await vi.advanceTimersByTimeAsync(60);
    expect(batcher.stats()).toMatchObject({ lagMs: 80, queueDepth: 2 });
    await vi.advanceTimersByTimeAsync(21);
    expect(batcher.stats()).toMatchObject({ lagMs: 0, queueDepth: 0 });
  });
});

describe("lingering", () => {
  it("events leave up to a fifth of the time early, together with events that are due", async () => {
    const writer = new ModelWriter();
    const batcher = open(writer);
    const pushAfter = async (runId: string, ms: number) => {
      await vi.advanceTimersByTimeAsync(ms);
      push(newRun(batcher, runId), 0, 10);
    };
    await pushAfter("due", 0);
    await pushAfter("nearly due", LINGER_MS / 5);
    await pushAfter("young", LINGER_MS / 5);
    await vi.advanceTimersByTimeAsync(LINGER_MS - (2 * LINGER_MS) / 5);
    await vi.advanceTimersByTimeAsync(1);
    expect(writer.applied).toEqual(["append due 0", "append nearly due 0"]);
    await vi.advanceTimersByTimeAsync(LINGER_MS);
    expect(writer.applied).toHaveLength(3);
  });

  it("sends the events of a short run with its finish, and never as an append", async () => {
    const writer = new ModelWriter();
    const batcher = open(writer);
    const run = newRun(batcher, "short");
    for (let n = 0; n < 5; n++) push(run, n, 10);
    await vi.advanceTimersByTimeAsync(LINGER_MS - 1);
    expect(writer.batches).toEqual([]);
    const segments = run.sentSegments;
    void batcher.enqueue(finish("short", { ...run.take(), segments }));
    await vi.advanceTimersByTimeAsync(LONG_MS);
    expect(writer.applied).toEqual(["finish short"]);
    expect(writer.events.get("short")).toEqual([0, 1, 2, 3, 4]);
    expect(segments).toBe(0);
    expect(batcher.pendingBytes).toBe(0);
  });

  it("journals a longer run when its first event has lingered", async () => {
    const writer = new ModelWriter();
    const batcher = open(writer);
    const run = newRun(batcher, "long");
    push(run, 0, 10);
    await vi.advanceTimersByTimeAsync(LINGER_MS - 10);
    push(run, 1, 10);
    expect(writer.batches).toEqual([]);
    await vi.advanceTimersByTimeAsync(20);
    expect(writer.events.get("long")).toEqual([0, 1]);
    expect(run.sentSegments).toBeGreaterThan(0);
  });

  it("lets each run linger equally long", async () => {
    const writer = new ModelWriter();
    const batcher = open(writer);
    push(newRun(batcher, "first"), 0, 10);
    await vi.advanceTimersByTimeAsync(LINGER_MS / 2);
    push(newRun(batcher, "second"), 0, 10);
    await vi.advanceTimersByTimeAsync(LINGER_MS / 2 + 2);
    expect(writer.applied).toEqual(["append first 0"]);
    await vi.advanceTimersByTimeAsync(LINGER_MS / 2 + 2);
    expect(writer.applied).toEqual(["append first 0", "append second 0"]);
  });

  it("sends a run at once that has a batch's worth of events", async () => {
    const writer = new ModelWriter();
    const batcher = open(writer);
    push(newRun(batcher, "large"), 0, MAX_BATCH_BYTES);
    await vi.advanceTimersByTimeAsync(0);
    expect(writer.applied).toEqual(["append large 0"]);
  });

  it("reports to a run that its events cannot be stored", async () => {
    const writer = new ModelWriter([{ fate: "corrupt", ms: 0 }]);
    const batcher = open(writer);
    const lost: RunStoreError[] = [];
    push(
      newRun(batcher, "run", (error) => lost.push(error)),
      0,
      10,
    );
    void batcher.flush();
    await vi.advanceTimersByTimeAsync(LONG_MS);
    expect(lost).toMatchObject([{ code: "CORRUPT" }]);
  });
});

describe("a disk that stays full", () => {
  const always = (fate: Fate, times: number) =>
    Array.from({ length: times }, () => ({ fate, ms: 0 }));

  it("is reported to completions once, rejects claims, and storing is tried again", async () => {
    // 50 ms doubled up to 2 s: a dozen attempts take well over ten seconds.
    const writer = new ModelWriter(always("full", 12));
    const batcher = open(writer);
    const stalls: RunStoreError[] = [];
    const finished = settled(batcher.enqueue(finish("run"), (error) => stalls.push(error)));
    const claimed = settled(batcher.enqueue(claim("next")));
    await vi.advanceTimersByTimeAsync(4000);
    expect(stalls).toEqual([]);
    expect(claimed.state).toBe("pending");
    await vi.advanceTimersByTimeAsync(4000);
    expect(stalls).toMatchObject([{ code: "DISK_FULL" }]);
    expect(claimed.state).toMatchObject({ code: "DISK_FULL" });
    expect(finished.state).toBe("pending");
    await vi.advanceTimersByTimeAsync(LONG_MS);
    expect(stalls.length).toBe(1);
    expect(finished.state).toBe("fulfilled");
    expect(writer.applied).toEqual(["finish run"]);
    expect(batcher.pendingBytes).toBe(0);
  });

  it("rejects claims made during the stall, queued and later ones", async () => {
    const writer = new ModelWriter(always("full", 20));
    const batcher = open(writer);
    const first = settled(batcher.enqueue(finish("run")));
    await vi.advanceTimersByTimeAsync(8000);
    const late = settled(batcher.enqueue(claim("late")));
    await vi.advanceTimersByTimeAsync(2500);
    expect(late.state).toMatchObject({ code: "DISK_FULL" });
    expect(first.state).toBe("pending");
  });

  it("rejects no claim for its own first failure, after a stall that left nothing waiting", async () => {
    const writer = new ModelWriter([
      // The wait grows before each attempt: the eighth attempt comes after more than five seconds.
      ...always("full", 8),
      { fate: "locked", ms: 0 },
    ]);
    const batcher = open(writer);
    const refused = settled(batcher.enqueue(claim("refused")));
    await vi.advanceTimersByTimeAsync(LONG_MS);
    expect(refused.state).toMatchObject({ code: "DISK_FULL" });
    expect(writer.batches.length).toBe(8);
    const later = settled(batcher.enqueue(claim("later")));
    await vi.advanceTimersByTimeAsync(LONG_MS);
    expect(later.state).toBe("fulfilled");
    expect(writer.batches.length).toBe(10);
  });

  it("ends a flush that waits for a claim which is rejected meanwhile", async () => {
    const writer = new ModelWriter(always("full", 12));
    const batcher = open(writer);
    const finished = settled(batcher.enqueue(finish("run")));
    // Alone in flight, so that the claim stays in the queue.
    await vi.advanceTimersByTimeAsync(10);
    const claimed = settled(batcher.enqueue(claim("refused")));
    const flushed = settled(batcher.flush());
    await vi.advanceTimersByTimeAsync(LONG_MS);
    expect(claimed.state).toMatchObject({ code: "DISK_FULL" });
    expect(finished.state).toBe("fulfilled");
    expect(flushed.state).toBe("fulfilled");
  });

  it("does not end a flush early when claims are rejected and the writer dies", async () => {
    const writer = new ModelWriter([...always("full", 12), ...always("died before", 4)]);
    const batcher = open(writer);
    const claimed = settled(batcher.enqueue(claim("first")));
    const finished = [settled(batcher.enqueue(finish("a"))), settled(batcher.enqueue(finish("b")))];
    let early = false;
    void batcher.flush().then(() => {
      early = finished.some(({ state }) => state === "pending");
    });
    await vi.advanceTimersByTimeAsync(LONG_MS);
    expect(claimed.state).toMatchObject({ code: "DISK_FULL" });
    expect(finished.map(({ state }) => state)).toEqual(["fulfilled", "fulfilled"]);
    expect(early).toBe(false);
  });
});

it("gathers operations that come while a batch is in flight into the next batch", async () => {
  const writer = new ModelWriter([{ fate: "stored", ms: 10 }]);
  const batcher = open(writer);
  const first = batcher.enqueue(release("1"));
  await vi.advanceTimersByTimeAsync(1);
  const rest = ["2", "3", "4"].map((name) => batcher.enqueue(release(name)));
  await vi.advanceTimersByTimeAsync(20);
  await Promise.all([first, ...rest]);
  expect(writer.batches.map((batch) => batch.map(({ threadId }) => threadId))).toEqual([
    ["1"],
    ["2", "3", "4"],
  ]);
});

it("resends a batch whose acknowledgement was lost, unchanged and before anything else", async () => {
  const writer = new ModelWriter([{ fate: "died after", ms: 5 }]);
  const batcher = open(writer);
  const outcomes = ["1", "2"].map((name) => batcher.enqueue(release(name)));
  await vi.advanceTimersByTimeAsync(1);
  const last = batcher.enqueue(release("3"));
  await vi.advanceTimersByTimeAsync(100);
  await Promise.all([...outcomes, last]);
  const [first, second, third] = writer.batches;
  expect(second).toEqual(first);
  expect(third).toEqual([release("3")]);
  expect(writer.applied).toEqual(["release 1", "release 2", "release 3"]);
});

describe("a batch with operations of many requests", () => {
  const user = new AsyncLocalStorage<string>();

  it("is sent, and its errors logged, in the async context of none of them", async () => {
    // Fake timers do not keep the async context.
    vi.useRealTimers();
    const writer = new ModelWriter([{ fate: "full", ms: 0 }]);
    const seen: (string | undefined)[] = [];
    const batcher = new Batcher({
      lingerMs: LINGER_MS,
      maxBatchBytes: MAX_BATCH_BYTES,
      send(batch) {
        seen.push(user.getStore());
        return writer.send(batch);
      },
      onTrouble: () => void seen.push(user.getStore()),
    });
    await user.run("Ann", () => batcher.enqueue(claim("a")));
    user.run("Bea", () => push(newRun(batcher, "b"), 1, 10));
    await user.run("Cem", () => batcher.flush());
    // Sent, failed, sent again, and then the lingering events.
    expect(seen).toEqual([undefined, undefined, undefined, undefined]);
    batcher.end(new RunStoreError("RUNNER_CLOSED", "the test is over"));
  });
});
