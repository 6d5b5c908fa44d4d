import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { RunStoreError } from "../../src/protocol/errors.ts";
import type { WriterOp } from "../../src/protocol/messages.ts";
import type { Batcher } from "../../src/store/queued/batcher.ts";
import type { ClaimedRun } from "../../src/store/queued/claimed-run.ts";
import {
  claim,
  type Fate,
  finish,
  LONG_MS,
  MAX_BATCH_BYTES,
  ModelWriter,
  nameOf,
  newRun,
  open,
  push,
  release,
  settled,
} from "./model-writer.ts";

vi.mock("node:timers/promises", () => import("./faked-delay.ts"));

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

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
