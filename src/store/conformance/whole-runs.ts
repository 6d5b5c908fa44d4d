import assert from "node:assert/strict";
import type { EventLike } from "../../events/event.ts";
import type { HistoryPage, HistorySegment } from "../run-store.ts";
import { asJson } from "./events.ts";

/** See `RunStore.readHistory`. */
export const PAGE_LENGTH = 64 * 1024;
const MAX_PAGE_LENGTH = PAGE_LENGTH + 1024;

/** A finished run as the history has it. */
export interface WholeRun {
  readonly runId: string;
  readonly events: readonly EventLike[];
}

export const run = (runId: string, events: readonly EventLike[]): WholeRun => ({ runId, events });

/** Throws when a page of several events is too large. */
export function expectPageSize({ segments }: HistoryPage): void {
  const count = segments.reduce((sum, { events }) => sum + events.length, 0);
  if (count <= 1) return;
  const lengths = segments.map(({ events }) => JSON.stringify(events).length);
  const length = lengths.reduce((sum, each) => sum + each, 0);
  assert.ok(
    length < MAX_PAGE_LENGTH,
    `a page of ${count} events has at most ${MAX_PAGE_LENGTH} characters, and not ${length}`,
  );
}

/** Puts the segments of each run together. Throws when they do not fit together. */
export function joinSegments(segments: readonly HistorySegment[]): WholeRun[] {
  const runs: { runId: string; events: EventLike[] }[] = [];
  let isOpen = false;
  for (const { runId, first, last, events } of segments) {
    const misplaced = `a segment of the run ${JSON.stringify(runId)} is out of place`;
    assert.notEqual(first, isOpen, misplaced);
    if (first) runs.push({ runId, events: [] });
    const current = runs.at(-1);
    assert.equal(current?.runId, runId, misplaced);
    current?.events.push(...events.map(asJson));
    isOpen = !last;
  }
  assert.ok(!isOpen, "the last run has no end");
  return runs;
}
