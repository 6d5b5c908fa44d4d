import type { EventLike, HeldThread, Message, RunDetails } from "../../index.ts";
import type { RunAnswer, RunItem, RunMessagesAnswer, RunTimes, StateChange } from "../api.ts";
import type { FedEvent, RunFeed } from "./run-feed.ts";
import { durationOf } from "./timeline.ts";

const MAX_STATE_VALUE = 64 * 1024;

export function runItem({
  runId,
  epoch,
  agentId,
  outcome,
  errorCode,
  endedAt,
  bytes,
}: Omit<RunItem, "isRecovered">): RunItem {
  const isRecovered = errorCode === "RUN_INTERRUPTED";
  return { runId, epoch, agentId, outcome, errorCode, endedAt, bytes, isRecovered };
}

/** What is known of the times of a run: see `RunTimes`. */
export function timesOf({
  run,
  live,
  feed,
}: {
  readonly run: RunDetails | null;
  readonly live: HeldThread | null;
  readonly feed: RunFeed;
}): RunTimes {
  const timed = feed.events.filter(({ at }) => at !== null);
  const startedAt = live?.claimedAt ?? timed[0]?.at ?? null;
  const endedAt = run?.endedAt ?? null;
  return {
    startedAt,
    endedAt,
    durationMs: durationOf(startedAt, endedAt),
    timedEvents: timed.length,
  };
}

type Counts = Pick<RunAnswer, "types" | "toolCalls" | "messages" | "eventBytes">;

export function countsOf(events: readonly FedEvent[]): Counts {
  const types = new Map<string, { type: string; events: number; bytes: number }>();
  let eventBytes = 0;
  for (const { type, bytes } of events) {
    const count = types.get(type) ?? { type, events: 0, bytes: 0 };
    count.events++;
    count.bytes += bytes;
    eventBytes += bytes;
    types.set(type, count);
  }
  const started = (type: string) => types.get(type)?.events ?? 0;
  return {
    types: [...types.values()].toSorted((one, other) => other.events - one.events),
    toolCalls: started("TOOL_CALL_START"),
    messages: started("TEXT_MESSAGE_START"),
    eventBytes,
  };
}

export function lastEvent({ events }: RunFeed): EventLike | null {
  const last = events.at(-1);
  return last === undefined || last.isCut ? null : (JSON.parse(last.json) as EventLike | null);
}

export function errorOf(event: EventLike | null): RunAnswer["error"] {
  if (event?.type !== "RUN_ERROR") return null;
  const { code, message } = event;
  const textOf = (value: unknown) => (typeof value === "string" ? value : null);
  return { code: textOf(code), message: textOf(message) };
}

export function interruptsOf(event: EventLike | null): unknown {
  const { type, interrupts } = (event?.outcome ?? {}) as { type?: unknown; interrupts?: unknown };
  return type === "interrupt" ? (interrupts ?? null) : null;
}

export function differenceOf(
  before: readonly Message[],
  after: readonly Message[],
): RunMessagesAnswer {
  const known = new Map(before.map((message) => [message.id, message]));
  const left = new Set(after.map(({ id }) => id));
  return {
    before: before.length,
    after: after.length,
    added: after.filter(({ id }) => !known.has(id)),
    changed: after.flatMap((message) => {
      const earlier = known.get(message.id);
      const isSame = earlier === undefined || JSON.stringify(earlier) === JSON.stringify(message);
      return isSame ? [] : [{ before: earlier, after: message }];
    }),
    removed: before.filter(({ id }) => !left.has(id)),
  };
}

export const STATE_EVENTS: ReadonlyMap<string, StateChange["kind"]> = new Map([
  ["STATE_SNAPSHOT", "snapshot"],
  ["STATE_DELTA", "delta"],
]);

export function stateChange(
  { json, isCut, bytes, at }: FedEvent,
  index: number,
  kind: StateChange["kind"],
): StateChange {
  const isShown = !isCut && bytes <= MAX_STATE_VALUE;
  const event = isShown ? (JSON.parse(json) as EventLike) : null;
  return { index, at, kind, value: event?.[kind] ?? null, bytes };
}
