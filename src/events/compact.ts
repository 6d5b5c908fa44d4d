import { DeltaMerger } from "./compact-deltas.ts";
import { StateFold } from "./compact-state.ts";
import { type EventLike, isTerminal } from "./event.ts";
import { OpenParts, unfinished } from "./open-parts.ts";

/**
 * What a run is stored as: its deltas merged, its state folded into one snapshot, its open parts
 * closed before the terminal event, nothing behind that. A client comes to the same messages and
 * the same state. `base.state` is the state of the thread before the run.
 *
 * Storing a run may not fail because of what it contains: if compaction fails, the events come
 * back as they came.
 */
export function compactRun(
  events: readonly EventLike[],
  base: { readonly state?: unknown },
): readonly EventLike[] {
  try {
    return compact(events, base.state);
  } catch {
    return events;
  }
}

function compact(events: readonly EventLike[], baseState: unknown): EventLike[] {
  const out: EventLike[] = [];
  const parts = new OpenParts();
  const deltas = new DeltaMerger();
  const state = new StateFold(baseState);
  for (const event of events) {
    if (event.type === "RUN_STARTED") {
      state.flush(out);
      state.startRun(event);
    } else if (parts.ended) {
      continue;
    } else if (event.type === "STATE_SNAPSHOT" || event.type === "STATE_DELTA") {
      state.add(event);
      continue;
    } else if (isTerminal(event)) {
      for (const closer of parts.close(unfinished)) out.push(closer);
      state.flush(out);
    }
    parts.observe(event);
    deltas.add(event, out);
  }
  state.flush(out);
  return out;
}
