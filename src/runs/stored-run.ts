import { compactRun } from "../events/compact/compact.ts";
import type { EventLike } from "../events/event.ts";
import { digestsOf, type MessageDigest } from "../events/message-digests.ts";

/** What is stored of a run. */
export interface StoredRun {
  readonly events: readonly EventLike[];
  /** The messages in the events, for later claims of the thread. */
  readonly messages: readonly MessageDigest[];
}

/** The `state` of a RunAgentInput that is given as JSON. */
export function stateOfInput(input: string | null): unknown {
  try {
    const value: unknown = JSON.parse(input ?? "null");
    return typeof value === "object" && value !== null && "state" in value
      ? value.state
      : undefined;
  } catch {
    return undefined;
  }
}

/**
 * What is stored of a run that emitted `events`. `input` is the JSON of its RunAgentInput: state deltas
 * may refer to the state in it. `onFailure` hears of events that cannot be compacted: they are stored
 * as they are.
 */
export function toStoredRun(
  events: readonly EventLike[],
  input: string | null,
  onFailure?: (error: unknown) => void,
): StoredRun {
  const hasDelta = events.some(({ type }) => type === "STATE_DELTA");
  const base = hasDelta ? { state: stateOfInput(input) } : {};
  const compacted = compactRun(events, onFailure === undefined ? base : { ...base, onFailure });
  return { events: compacted, messages: digestsOf(events) };
}
