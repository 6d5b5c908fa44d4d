import fastJsonPatch, { type Operation } from "fast-json-patch";
import type { EventLike } from "../../src/events/event.ts";

/** Deltas merge when a run is stored; which field of theirs says what they add to. */
const DELTAS: Readonly<Record<string, string>> = {
  TEXT_MESSAGE_CONTENT: "messageId",
  TOOL_CALL_ARGS: "toolCallId",
  REASONING_MESSAGE_CONTENT: "messageId",
};

/** What may stand at the end of a run that was interrupted, and was not said by its agent. */
const CLOSERS: ReadonlySet<string> = new Set([
  "TEXT_MESSAGE_END",
  "TOOL_CALL_END",
  "TOOL_CALL_RESULT",
  "REASONING_MESSAGE_END",
  "REASONING_END",
  "STEP_FINISHED",
]);

const INTERRUPTIONS: ReadonlySet<unknown> = new Set(["RUN_INTERRUPTED", "LEASE_LOST"]);

export interface Comparison {
  /** All that was said is there, and nothing else. */
  readonly whole: boolean;
  /** What is wrong, or null when what is kept is a prefix of what was said. */
  readonly problem: string | null;
}

/** Texts by what they belong to. */
export function textsOf(events: readonly EventLike[]): Map<string, string> {
  const texts = new Map<string, string>();
  for (const event of events) {
    const key = keyOf(event);
    if (key !== null) texts.set(key, (texts.get(key) ?? "") + String(event.delta));
  }
  return texts;
}

/**
 * Compares what is kept of a run, stored or replayed, with what was said in it. Deltas are compared
 * merged, states folded; everything else has to be there one by one, in order.
 */
export function compareWithSaid(
  kept: readonly EventLike[],
  said: readonly EventLike[],
): Comparison {
  const keptTexts = textsOf(kept);
  const read = new Map<string, number>();
  const keptRest = kept.filter(isOther).map(canonical);
  const states: unknown[] = [];
  let state: unknown = {};
  let possibleFrom = 0;
  let rest = 0;
  let whole = true;
  for (const event of said) {
    const key = keyOf(event);
    if (isState(event)) {
      state = applyState(state, event);
      states.push(state);
      continue;
    }
    if (key !== null) {
      const from = read.get(key) ?? 0;
      if (!keptTexts.get(key)?.startsWith(String(event.delta), from)) {
        whole = false;
        break;
      }
      read.set(key, from + String(event.delta).length);
    } else if (keptRest[rest] === canonical(event)) rest++;
    else {
      whole = false;
      break;
    }
    possibleFrom = states.length;
  }
  whole &&= rest === keptRest.length;
  return {
    whole,
    problem:
      extraText(keptTexts, read) ??
      wrongEnd(kept.filter(isOther).slice(rest)) ??
      wrongState(kept, [{}, ...states], whole ? states.length : possibleFrom),
  };
}

function extraText(kept: Map<string, string>, read: Map<string, number>): string | null {
  for (const [key, text] of kept) {
    const from = read.get(key) ?? 0;
    if (text.length > from)
      return `${key} has ${brief(text.slice(from))}, which is not what came next`;
  }
  return null;
}

function wrongEnd(end: readonly EventLike[]): string | null {
  for (const [at, event] of end.entries()) {
    const isEnd = at === end.length - 1;
    const allowed = isEnd
      ? event.type === "RUN_ERROR" && INTERRUPTIONS.has(event.code)
      : CLOSERS.has(event.type);
    if (!allowed) return `${brief(canonical(event))} is not what came next`;
  }
  return null;
}

/** The state has to be one that the run was in, between the last event that is kept and the next. */
function wrongState(
  kept: readonly EventLike[],
  states: readonly unknown[],
  from: number,
): string | null {
  let state: unknown = {};
  for (const event of kept) if (isState(event)) state = applyState(state, event);
  const json = canonical(state);
  if (states.slice(from).some((possible) => canonical(possible) === json)) return null;
  return `the state is ${brief(json)}, expected ${brief(canonical(states[from]))} or a later one`;
}

function keyOf(event: EventLike): string | null {
  const field = DELTAS[event.type];
  return field === undefined ? null : `${event.type} of ${String(event[field])}`;
}

const isState = ({ type }: EventLike) => type === "STATE_SNAPSHOT" || type === "STATE_DELTA";
const isOther = (event: EventLike) => keyOf(event) === null && !isState(event);

function applyState(state: unknown, event: EventLike): unknown {
  if (event.type === "STATE_SNAPSHOT") return event.snapshot;
  const patch = structuredClone(event.delta) as Operation[];
  return fastJsonPatch.applyPatch(structuredClone(state), patch).newDocument;
}

/** JSON with its keys in order, and without what the runner adds to a RUN_STARTED. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (key, inner: unknown) => {
    if (key === "input") return undefined;
    if (typeof inner !== "object" || inner === null || Array.isArray(inner)) return inner;
    return Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

const LONGEST = 160;

function brief(text: string): string {
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}...` : text;
}
