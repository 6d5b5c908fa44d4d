import type { RunItem, RunRef, ThreadAnswer } from "../../api.ts";
import { refOf, refText, type Selection } from "../location.ts";

/** The run that is shown: the one of the URL, or else the one that executes, or else the last one. */
export function chosenRun(selection: Selection, answer: ThreadAnswer): RunRef | undefined {
  return refOf(selection.run) ?? answer.live ?? answer.thread.lastRun ?? undefined;
}

/** All runs of a thread, newest first, the one that executes included. */
export function runRefs(answer: ThreadAnswer, runs: readonly RunItem[]): readonly RunRef[] {
  const { live } = answer;
  const stored: RunRef[] = runs.toReversed();
  const isStored = live !== null && stored[0] !== undefined && isSame(stored[0], live);
  return live === null || isStored ? stored : [live, ...stored];
}

export function isSame(one: RunRef | null | undefined, other: RunRef | null | undefined): boolean {
  return (
    one !== null &&
    one !== undefined &&
    other !== null &&
    other !== undefined &&
    refText(one) === refText(other)
  );
}
