import { ThreadView } from "../events/view/thread-view.ts";
import type { ViewStep, ViewStepRequest } from "../protocol/compactor-messages.ts";
import { eventsOf } from "./compact-journal.ts";
import { addRuns, isWorthKeeping, madeView, packView, restoreView } from "./made-view.ts";

/** Adds some of the runs of a thread to its view, where not all of them are in memory at a time. */
export function makeViewStep({
  threadId,
  start,
  runs,
  lengthBefore,
  isLast,
}: ViewStepRequest): ViewStep {
  const view = start === null ? new ThreadView() : restoreView(start);
  if (view === undefined) return { rest: "", messages: [], packed: null, isRestored: false };
  let length = lengthBefore;
  for (const { events } of runs) length += events.length;
  const parsed = runs.map(({ runId, events }) => ({ runId, events: eventsOf([events]) }));
  addRuns(view, threadId, parsed);
  const made = madeView(view);
  const packed = !isLast || isWorthKeeping(made, length) ? packView(made) : null;
  return { ...made, packed, isRestored: true };
}
