import type { EventLike } from "../events/event.ts";
import { parseEvents } from "../events/json/parse-events.ts";
import type { ReadSpan } from "../events/shared/put-back.ts";
import { spanReader } from "../events/shared/span-texts.ts";
import { readStoredEvents } from "../events/shared/stored-values.ts";
import { ThreadView } from "../events/view/thread-view.ts";
import type { ViewStep, ViewStepRequest } from "../protocol/compactor-messages.ts";
import { addRuns, isWorthKeeping, jsonOfView, newMessages, restoreView } from "./made-view.ts";
import { packView, unpackView } from "./packed-view.ts";

/** Adds some of the runs of a thread to its view, where not all of them are in memory at a time. */
export function makeViewStep(request: ViewStepRequest): ViewStep {
  const { threadId, start, runs, runsToSince, lengthBefore, keptBytes, isLast } = request;
  const kept = start === null ? null : unpackView(start);
  if (kept === undefined) return NOT_RESTORED;
  if (kept !== null && runs.length === 0 && runsToSince === null) {
    // What is kept is what is wanted: it need not be parsed.
    const messages = kept.chunks.map(({ json }) => json);
    const length = lengthBefore;
    return { rest: kept.rest, messages, same: null, packed: null, length, isRestored: true };
  }
  const restored = kept === null ? { view: new ThreadView(), chunks: [] } : restoreView(kept);
  if (restored === undefined) return NOT_RESTORED;
  const { view, chunks } = restored;
  const readSpan = spanReader(request.chunks);
  const read = { length: lengthBefore };
  addRuns(view, threadId, parsed(runs.slice(0, runsToSince ?? 0), readSpan, read));
  const before = runsToSince === null ? null : view.messages;
  addRuns(view, threadId, parsed(runs.slice(runsToSince ?? 0), readSpan, read));
  const { length } = read;
  if (before !== null) {
    return { ...newMessages(view, before), packed: null, length, isRestored: true };
  }
  const json = jsonOfView(view, chunks);
  const packed = !isLast || isWorthKeeping(json, length, keptBytes) ? packView(json) : null;
  const messages = json.chunks.map((chunk) => chunk.json);
  return { rest: json.rest, messages, same: null, packed, length, isRestored: true };
}

/**
 * The events of runs, whose lengths are added to `read`. One run is in memory at a time: what runs share is many
 * times as long when it is put back.
 */
function* parsed(
  runs: ViewStepRequest["runs"],
  readSpan: ReadSpan,
  read: { length: number },
): Generator<{ readonly runId: string; readonly events: readonly EventLike[] }> {
  for (const { runId, ...run } of runs) {
    const json = readStoredEvents(run, readSpan);
    read.length += json.length;
    yield { runId, events: parseEvents(json) ?? [] };
  }
}

const NOT_RESTORED: ViewStep = {
  rest: "",
  messages: [],
  same: null,
  packed: null,
  length: 0,
  isRestored: false,
};
