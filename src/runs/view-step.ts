import { parseEvents } from "../events/json/parse-events.ts";
import { spanReader } from "../events/shared/span-texts.ts";
import { readStoredEvents } from "../events/shared/stored-values.ts";
import { ThreadView } from "../events/view/thread-view.ts";
import type { ViewStep, ViewStepRequest } from "../protocol/compactor-messages.ts";
import { addRuns, isWorthKeeping, madeView, packView, restoreView } from "./made-view.ts";

/** Adds some of the runs of a thread to its view, where not all of them are in memory at a time. */
export function makeViewStep({
  threadId,
  start,
  runs,
  chunks,
  lengthBefore,
  isLast,
}: ViewStepRequest): ViewStep {
  const view = start === null ? new ThreadView() : restoreView(start);
  let length = lengthBefore;
  if (view === undefined) {
    return { rest: "", messages: [], packed: null, length, isRestored: false };
  }
  const readSpan = spanReader(chunks);
  // One run is in memory at a time: what runs share is many times as long when it is put back.
  function* parsed() {
    for (const { runId, ...run } of runs) {
      const json = readStoredEvents(run, readSpan);
      length += json.length;
      yield { runId, events: parseEvents(json) ?? [] };
    }
  }
  addRuns(view, threadId, parsed());
  const made = madeView(view);
  const packed = !isLast || isWorthKeeping(made, length) ? packView(made) : null;
  return { ...made, packed, length, isRestored: true };
}
