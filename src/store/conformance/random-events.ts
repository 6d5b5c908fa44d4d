import type { EventLike } from "../../events/event.ts";

const TYPES = [
  "RUN_STARTED",
  "RUN_FINISHED",
  "RUN_ERROR",
  "TEXT_MESSAGE_START",
  "TEXT_MESSAGE_CONTENT",
  "TEXT_MESSAGE_END",
  "TOOL_CALL_ARGS",
  "TOOL_CALL_RESULT",
  "STATE_DELTA",
  "STATE_SNAPSHOT",
  "MESSAGES_SNAPSHOT",
  "STEP_FINISHED",
  "RAW",
  "NEW_TYPE",
] as const;

const FIELDS = ["messageId", "delta", "input", "messages", "toolCallId", "snapshot"] as const;

const KEYS = ["", "a", "id", "messages", "path", "__proto__", "toString", "length", "\0", "🙂"];

/** What may stand in a field. Objects and arrays are made of these. */
const LEAVES: readonly (() => unknown)[] = [
  () => undefined,
  () => null,
  () => true,
  () => 0,
  () => -0,
  () => Number.NaN,
  () => Number.POSITIVE_INFINITY,
  () => 1e308,
  () => -(2n ** 70n),
  () => "",
  () => "m1",
  () => "\ud83d",
  () => "\0'\"\\",
  () => "x".repeat(3000),
  () => Symbol("s"),
  () => () => 1,
  () => new Date(Number.NaN),
  () => new Map([["a", 1]]),
  () => ({ toJSON: () => undefined }),
  () => Object.create(null),
];

/** Up to a dozen events of any shape; the same ones for the same seed. */
export function randomEvents(seed: number): readonly EventLike[] {
  const below = randomBelow(seed);
  const pick = <T>(items: readonly [T, ...T[]] | readonly T[]): T =>
    items[below(items.length)] as T;

  const value = (depth: number): unknown => {
    const kind = depth === 0 ? 0 : below(4);
    if (kind === 2) return Array.from({ length: below(4) }, () => value(depth - 1));
    if (kind === 3) {
      const entries = Array.from({ length: below(4) }, () => [pick(KEYS), value(depth - 1)]);
      return Object.fromEntries(entries);
    }
    return pick(LEAVES)();
  };

  return Array.from({ length: below(13) }, () => {
    const fields = FIELDS.filter(() => below(3) === 0);
    const entries = fields.map((name) => [name, value(4)]);
    return { ...Object.fromEntries(entries), type: pick(TYPES) };
  });
}

/** Whole numbers from 0 to below a limit. Mulberry32. */
function randomBelow(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * limit);
  };
}
