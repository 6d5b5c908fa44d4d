import type { EventLike } from "../../src/events/event.ts";
import type { Mark } from "./orders.ts";
import type { Call } from "./record/recording.ts";

/** One run of a recording. Times are ticks of the record's clock. */
export interface RunFacts {
  readonly threadId: string;
  readonly runId: string;
  readonly askedAt: number;
  /**
   * When its stream had completed with its terminal event. Null if it did not, or ended with an error
   * of the store.
   */
  acknowledgedAt: number | null;
  /** The events that its client got, or at most those that its agent planned to emit. */
  said: readonly EventLike[];
}

/** The facts by which images of a recording are checked. */
export interface Facts {
  readonly threadIds: readonly string[];
  readonly oldRuns: number;
  readonly runs: readonly RunFacts[];
}

/** The runs in the marks of a record. */
export function runsIn(calls: readonly Call[]): RunFacts[] {
  const runs = new Map<string, RunFacts>();
  for (const call of calls) {
    if (call.kind !== "mark" || call.failed) continue;
    const mark = JSON.parse(call.data.toString()) as Mark;
    if (mark.what === "asked") {
      const { threadId, runId, planned } = mark;
      runs.set(runId, {
        threadId,
        runId,
        askedAt: call.begin,
        acknowledgedAt: null,
        said: planned,
      });
      continue;
    }
    const run = runs.get(mark.runId);
    if (run === undefined) throw new Error(`nobody asked for ${mark.runId}`);
    if (mark.what === "ended") run.said = mark.saw;
    else if (mark.kept) run.acknowledgedAt = call.begin;
  }
  return [...runs.values()];
}

/** A rule that an image breaks. */
export interface Violation {
  /** `lost`: the disk did not keep an acknowledged run. Every other kind is worse. */
  readonly rule:
    | "lost"
    | "opens"
    | "integrity"
    | "invented"
    | "prefix"
    | "terminal"
    | "takes-run"
    | "replay"
    | "old-runs";
  readonly seen: string;
}

/** An image to be checked. */
export interface ImageJob {
  readonly dbPath: string;
  readonly factsPath: string;
  readonly cut: number;
}

export interface ImageVerdict {
  /** The number of runs that had to be there. */
  readonly acknowledged: number;
  readonly violations: readonly Violation[];
}
