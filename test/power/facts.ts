import type { EventLike } from "../../src/events/event.ts";
import type { Mark } from "./orders.ts";
import type { Call } from "./record/recording.ts";

/** One run of a recording. Times are ticks of the record's clock. */
export interface RunFacts {
  readonly threadId: string;
  readonly runId: string;
  readonly askedAt: number;
  /** When its stream had completed with its terminal event; null: it did not, or the store said why. */
  acknowledgedAt: number | null;
  /** All that its client was given, or what its agent was going to say at most. */
  said: readonly EventLike[];
}

/** What images of a recording are judged by. */
export interface Facts {
  readonly threadIds: readonly string[];
  readonly oldRuns: number;
  readonly runs: readonly RunFacts[];
}

/** The runs that the marks of a record tell of. */
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

/** Something that must hold of an image and does not. */
export interface Violation {
  /** Of `lost`, the disk did not keep what was acknowledged; anything else is worse. */
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

/** An image to be judged. */
export interface ImageJob {
  readonly dbPath: string;
  readonly factsPath: string;
  readonly cut: number;
}

export interface ImageVerdict {
  /** Runs that had to be there, and were looked for. */
  readonly acknowledged: number;
  readonly violations: readonly Violation[];
}
