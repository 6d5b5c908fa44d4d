import { ThreadView } from "../events/view/thread-view.ts";
import type { ViewStep, ViewStepRequest } from "../protocol/compactor-messages.ts";
import { eventsOf } from "./compact-journal.ts";
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
    return { rest: kept.rest, messages, same: null, packed: null, isRestored: true };
  }
  const restored = kept === null ? { view: new ThreadView(), chunks: [] } : restoreView(kept);
  if (restored === undefined) return NOT_RESTORED;
  const { view, chunks } = restored;
  const parsed = runs.map(({ runId, events }) => ({ runId, events: eventsOf([events]) }));
  addRuns(view, threadId, parsed.slice(0, runsToSince ?? 0));
  const before = runsToSince === null ? null : view.messages;
  addRuns(view, threadId, parsed.slice(runsToSince ?? 0));
  if (before !== null) return { ...newMessages(view, before), packed: null, isRestored: true };
  const json = jsonOfView(view, chunks);
  const length = runs.reduce((sum, { events }) => sum + events.length, lengthBefore);
  const packed = !isLast || isWorthKeeping(json, length, keptBytes) ? packView(json) : null;
  const messages = json.chunks.map((chunk) => chunk.json);
  return { rest: json.rest, messages, same: null, packed, isRestored: true };
}

const NOT_RESTORED: ViewStep = {
  rest: "",
  messages: [],
  same: null,
  packed: null,
  isRestored: false,
};
