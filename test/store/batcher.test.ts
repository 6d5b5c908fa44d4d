import { AsyncLocalStorage } from "node:async_hooks";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { RunStoreError } from "../../src/protocol/errors.ts";
import { Batcher } from "../../src/store/queued/batcher.ts";
import {
  claim,
  type Fate,
  finish,
  LINGER_MS,
  LONG_MS,
  MAX_BATCH_BYTES,
  ModelWriter,
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

describe("a writer counts as stuck", () => {
  it("when it does not answer, and no longer when it does", async () => {
    const batcher = open(new ModelWriter([{ fate: "stored", ms: 20_000 }]));
    void batcher.enqueue(release("first"));
    await vi.advanceTimersByTimeAsync(10_001);
    expect(batcher.stuck).toBe(false);
    await vi.advanceTimersByTimeAsync(1000);
    expect(batcher.stuck).toBe(true);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(batcher.stuck).toBe(false);
  });

  it("but not when this thread was stalled, and its answers wait to be read", async () => {
    const batcher = open(new ModelWriter([{ fate: "stored", ms: 1 }]));
    void batcher.enqueue(release("first"));
    await vi.advanceTimersByTimeAsync(0);
    const now = vi.spyOn(performance, "now").mockReturnValue(performance.now() + 60_000);
    expect(batcher.stuck).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    now.mockRestore();
    expect(batcher.stats().queueDepth).toBe(0);
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

it("sends operations while other batches are in flight, up to three batches", async () => {
  const writer = new ModelWriter([{ fate: "stored", ms: 10 }]);
  const batcher = open(writer);
  const outcomes: Promise<unknown>[] = [];
  for (const name of ["1", "2", "3", "4", "5"]) {
    outcomes.push(batcher.enqueue(release(name)));
    await vi.advanceTimersByTimeAsync(1);
  }
  const namesOf = () => writer.batches.map((batch) => batch.map(({ threadId }) => threadId));
  expect(namesOf()).toEqual([["1"], ["2"], ["3"]]);
  await vi.advanceTimersByTimeAsync(20);
  await Promise.all(outcomes);
  expect(namesOf()).toEqual([["1"], ["2"], ["3"], ["4", "5"]]);
});

it.each([
  { waiting: 10, batches: [10] },
  { waiting: 30, batches: [12, 12, 6] },
  { waiting: 60, batches: [20, 20, 20] },
])("divides $waiting operations among batches of $batches", async ({ waiting, batches }) => {
  const writer = new ModelWriter();
  const batcher = open(writer, { maxBatchBytes: 1024 * 1024 });
  const names = Array.from({ length: waiting }, (_, at) => `t${at}`);
  const outcomes = names.map((name) => batcher.enqueue(release(name)));
  await vi.advanceTimersByTimeAsync(20);
  await Promise.all(outcomes);
  expect(writer.batches.map(({ length }) => length)).toEqual(batches);
  expect(writer.applied).toEqual(names.map((name) => `release ${name}`));
});

it("says of a batch that it is alone when no other batch is in flight and nothing waits", async () => {
  const writer = new ModelWriter([{ fate: "stored", ms: 10 }]);
  const batcher = open(writer);
  const outcomes = [batcher.enqueue(release("1"))];
  await vi.advanceTimersByTimeAsync(1);
  outcomes.push(batcher.enqueue(release("2")));
  await vi.advanceTimersByTimeAsync(20);
  outcomes.push(...["3", "4", "5", "6", "7", "8"].map((name) => batcher.enqueue(release(name))));
  await vi.advanceTimersByTimeAsync(20);
  await Promise.all(outcomes);
  expect(writer.alone).toEqual([true, false, false, false]);
});

it("resends a batch whose acknowledgement was lost, unchanged and before anything else", async () => {
  const writer = new ModelWriter([{ fate: "died after", ms: 5 }]);
  const batcher = open(writer);
  const outcomes = ["1", "2"].map((name) => batcher.enqueue(release(name)));
  await vi.advanceTimersByTimeAsync(1);
  const last = batcher.enqueue(release("3"));
  await vi.advanceTimersByTimeAsync(100);
  await Promise.all([...outcomes, last]);
  // The batch that was sent behind the first one was lost with the writer.
  const [first, lost, second, third] = writer.batches;
  expect(lost).toEqual([release("3")]);
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
