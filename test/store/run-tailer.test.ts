import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { EventLike } from "../../src/events/event.ts";
import { RunStoreError } from "../../src/protocol/errors.ts";
import type { LookMessage, LookRequest } from "../../src/protocol/messages.ts";
import { RunTailer } from "../../src/store/queued/run-tailer.ts";

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

/** Longer than the tailer waits between two looks. */
const LONG_MS = 10_000;

/**
 * The journaled events of the runs of a file, each on a thread of its name; and the requests about
 * them.
 */
class ModelFile {
  readonly runs = new Map<string, { readonly segments: EventLike[][]; running: boolean }>();
  readonly held = new Set<string>();
  readonly looks: LookRequest[] = [];
  wanted = 0;
  failure: RunStoreError | null = null;
  readonly tailer = new RunTailer({
    look: async (request) => {
      this.looks.push(request);
      await Promise.resolve();
      if (this.failure !== null) throw this.failure;
      return this.#answer(request);
    },
    onWanted: () => void this.wanted++,
    parse: (json) => JSON.parse(json) as EventLike[],
  });

  begin(runId: string): void {
    this.runs.set(runId, { segments: [], running: true });
  }

  say(runId: string, ...types: string[]): void {
    this.runs.get(runId)?.segments.push(types.map((type) => ({ type })));
    this.tailer.changed();
  }

  end(runId: string): void {
    const run = this.runs.get(runId);
    if (run !== undefined) run.running = false;
    this.tailer.changed();
  }

  /** Follows a run until it ends or `signal` is aborted. Resolves with the types of its events. */
  async follow(runId: string, signal = new AbortController().signal): Promise<string[]> {
    const types: string[] = [];
    for await (const events of this.tailer.follow(runId, 1, signal)) {
      types.push(...events.map(({ type }) => type));
    }
    return types;
  }

  #answer({ runs, threads }: LookRequest): LookMessage {
    return {
      runs: runs.map(({ threadId, afterId }) => {
        const { segments, running } = this.runs.get(threadId) ?? { segments: [], running: false };
        // One segment per look, as if each were as long as an answer may be.
        const next = segments.slice(afterId, afterId + 1);
        const more = segments.length > afterId + 1;
        const json = next.map((segment) => JSON.stringify(segment));
        return { segments: json, afterId: afterId + next.length, more, running, stored: null };
      }),
      held: threads.map((threadId) => this.held.has(threadId)),
    };
  }
}

const settle = () => vi.advanceTimersByTimeAsync(0);

describe("RunTailer", () => {
  it("looks once for all followers, and not at all when the last follower has left", async () => {
    const file = new ModelFile();
    file.begin("r");
    const leave = new AbortController();
    const followers = [1, 2, 3].map(() => file.follow("r", leave.signal));
    file.say("r", "RUN_STARTED");
    await settle();
    expect(file.wanted).toBe(1);
    expect(file.looks.length).toBeLessThanOrEqual(2);
    expect(file.looks.every(({ runs }) => runs.length === 1)).toBe(true);
    leave.abort();
    expect(await Promise.all(followers)).toEqual([1, 2, 3].map(() => ["RUN_STARTED"]));
    await vi.advanceTimersByTimeAsync(LONG_MS);
    const { length } = file.looks;
    file.say("r", "CUSTOM");
    await vi.advanceTimersByTimeAsync(LONG_MS);
    expect(file.looks).toHaveLength(length);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("finds changes without a notice", async () => {
    const file = new ModelFile();
    file.begin("r");
    file.held.add("t");
    const followed = file.follow("r");
    const released = file.tailer.released("t", new AbortController().signal);
    await settle();
    file.runs.set("r", {
      segments: [[{ type: "RUN_STARTED" }, { type: "RUN_FINISHED" }]],
      running: false,
    });
    file.held.clear();
    await vi.advanceTimersByTimeAsync(LONG_MS);
    expect(await followed).toEqual(["RUN_STARTED", "RUN_FINISHED"]);
    await released;
    await vi.advanceTimersByTimeAsync(LONG_MS);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("gives a late follower all events, also those that a new look would not return", async () => {
    const file = new ModelFile();
    file.begin("r");
    file.say("r", "RUN_STARTED");
    const early = file.follow("r");
    for (const type of ["A", "B", "C"]) {
      file.say("r", type);
      await settle();
    }
    const late = file.follow("r");
    file.say("r", "RUN_FINISHED");
    file.end("r");
    await settle();
    const all = ["RUN_STARTED", "A", "B", "C", "RUN_FINISHED"];
    expect(await early).toEqual(all);
    expect(await late).toEqual(all);
    expect(new Set(file.looks.map(({ runs }) => runs[0]?.afterId)).size).toBe(5);
  });

  it("fails with FOLLOW_LOST when the end of a run cannot be read any more", async () => {
    const file = new ModelFile();
    file.begin("r");
    file.say("r", "RUN_STARTED");
    const follower = file.follow("r");
    const refused = expect(follower).rejects.toMatchObject({ code: "FOLLOW_LOST" });
    await settle();
    file.end("r");
    await refused;
  });

  it("fails all waiters when a look fails, and serves later waiters", async () => {
    const file = new ModelFile();
    file.begin("r");
    file.failure = new RunStoreError("IO_ERROR", "the disk is gone");
    const followed = expect(file.follow("r")).rejects.toMatchObject({ code: "IO_ERROR" });
    const never = new AbortController().signal;
    const waited = expect(file.tailer.released("t", never)).rejects.toMatchObject({
      code: "IO_ERROR",
    });
    await Promise.all([followed, waited]);
    file.failure = null;
    const next = file.follow("r");
    file.say("r", "RUN_STARTED", "RUN_FINISHED");
    file.end("r");
    expect(await next).toEqual(["RUN_STARTED", "RUN_FINISHED"]);
  });

  it("ends all waiting at once, leaves no timer, and refuses new waiters", async () => {
    const file = new ModelFile();
    file.begin("r");
    file.held.add("t");
    const never = new AbortController().signal;
    const closed = { code: "RUNNER_CLOSED" };
    const followed = expect(file.follow("r")).rejects.toMatchObject(closed);
    const waited = expect(file.tailer.released("t", never)).rejects.toMatchObject(closed);
    await settle();
    file.tailer.end(new RunStoreError("RUNNER_CLOSED", "the runner is closed"));
    await Promise.all([followed, waited]);
    expect(vi.getTimerCount()).toBe(0);
    await expect(file.follow("r")).rejects.toMatchObject(closed);
    await expect(file.tailer.released("t", never)).rejects.toMatchObject(closed);
  });
});
