import fastJsonPatch, { type Operation } from "fast-json-patch";
import type { EventLike } from "../../src/events/event.ts";
import { isTrimmed } from "../../src/events/replay/trimmed.ts";

/** Deltas merge when a run is stored. By type, the field that names their message or call. */
const DELTAS: Readonly<Record<string, string>> = {
  TEXT_MESSAGE_CONTENT: "messageId",
  TOOL_CALL_ARGS: "toolCallId",
  REASONING_MESSAGE_CONTENT: "messageId",
};

/** The events that may end an interrupted run although its agent did not emit them. */
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
  /** Whether exactly the emitted events are there. */
  readonly whole: boolean;
  /** The error, or null when the kept events are a prefix of the emitted events. */
  readonly problem: string | null;
}

/** Texts by their message or call. */
export function textsOf(events: readonly EventLike[]): Map<string, string> {
  const texts = new Map<string, string>();
  for (const event of events) {
    const key = keyOf(event);
    if (key !== null) texts.set(key, (texts.get(key) ?? "") + String(event.delta));
  }
  return texts;
}

/**
 * Compares the kept events of a run, stored or replayed, with its emitted events. Deltas are compared
 * merged, and states folded. All other events have to be there one by one, in order. A replay shows states
 * and snapshots of messages once, at the end of the thread: they are not compared.
 */
export function compareWithSaid(
  kept: readonly EventLike[],
  said: readonly EventLike[],
  { isReplay = false }: { readonly isReplay?: boolean } = {},
): Comparison {
  const keptTexts = textsOf(kept);
  const read = new Map<string, number>();
  const isShown = (event: EventLike) => !isReplay || !isTrimmed(event.type);
  const keptRest = kept.filter(isOther).filter(isShown);
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
    if (!isShown(event)) continue;
    if (key !== null) {
      const from = read.get(key) ?? 0;
      if (!keptTexts.get(key)?.startsWith(String(event.delta), from)) {
        whole = false;
        break;
      }
      read.set(key, from + String(event.delta).length);
    } else if (isSame(keptRest[rest], event)) rest++;
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
      wrongEnd(keptRest.slice(rest)) ??
      (isReplay ? null : wrongState(kept, [{}, ...states], whole ? states.length : possibleFrom)),
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

/** The state has to be one that the run had between the last kept event and the next event. */
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

/** What the runner adds to a RUN_STARTED. */
const isAdded = (key: string) => key === "input" || key === "clientMessages";

/** Whether the canonical forms are the same. Most events have only plain values, and need none. */
function isSame(kept: EventLike | undefined, said: EventLike): boolean {
  if (kept === undefined) return false;
  const isPlain = (a: EventLike, b: EventLike) =>
    Object.keys(a).every((key) => isAdded(key) || (a[key] === b[key] && a[key] !== undefined));
  return (isPlain(kept, said) && isPlain(said, kept)) || canonical(kept) === canonical(said);
}

/** JSON with sorted keys, and without what the runner adds to a RUN_STARTED. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (key, inner: unknown) => {
    if (isAdded(key)) return undefined;
    if (typeof inner !== "object" || inner === null || Array.isArray(inner)) return inner;
    return Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

const LONGEST = 160;

function brief(text: string): string {
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}...` : text;
}
