import type { EventLike } from "../event.ts";

type Fields = Readonly<Record<string, unknown>>;

/** A copy of `object` without `field`. */
export function withoutField<T extends Fields>(object: T, field: string): T {
  const copy: Record<string, unknown> = { ...object };
  delete copy[field];
  return copy as T;
}

/** `object` without those of `fields` whose value is neither undefined nor a string. */
export function withoutNonStrings<T extends Fields>(object: T, fields: readonly string[]): T {
  let clean = object;
  for (const field of fields) {
    const value = object[field];
    if (value !== undefined && typeof value !== "string") clean = withoutField(clean, field);
  }
  return clean;
}

const tagField = ["subagentRunId"];

/** `object` without a `subagentRunId` that is no string, for example null: clients reject such a tag. */
export function withoutBadTag<T extends Fields>(object: T): T {
  const tag = object.subagentRunId;
  if (tag === undefined || typeof tag === "string") return object;
  return withoutNonStrings(object, tagField);
}

/**
 * The messages that a reducer can take. The same array if it can take all of them. Null if `messages`
 * is no array.
 */
export function cleanMessages(messages: unknown): readonly unknown[] | null {
  if (!Array.isArray(messages)) return null;
  // Nearly all lists are clean, and a snapshot of a long thread is long: no copies of it are made.
  if ((messages as unknown[]).every(isCleanMessage)) return messages as unknown[];
  return cleanObjects(messages as unknown[]).map(withCleanToolCalls);
}

function isCleanMessage(message: unknown): boolean {
  if (!isCleanObject(message)) return false;
  const { toolCalls } = message;
  return toolCalls === undefined || (Array.isArray(toolCalls) && toolCalls.every(isCleanObject));
}

function withCleanToolCalls(message: Fields): Fields {
  const { toolCalls } = message;
  if (toolCalls === undefined) return message;
  if (!Array.isArray(toolCalls)) return withoutField(message, "toolCalls");
  const calls = cleanObjects(toolCalls as unknown[]);
  return calls === toolCalls ? message : { ...message, toolCalls: calls };
}

/** The objects among `items`, without bad tags. The same array if there is nothing to change. */
function cleanObjects(items: readonly unknown[]): readonly Fields[] {
  if (items.every(isCleanObject)) return items;
  return items.filter(isObject).map(withoutBadTag);
}

function isCleanObject(value: unknown): value is Fields {
  return isObject(value) && withoutBadTag(value) === value;
}

/** RUN_STARTED with an `input` whose messages a reducer can take. */
export function cleanRunStarted(event: EventLike): EventLike {
  const { input } = event;
  if (!isObject(input) || input.messages == null) return event;
  const messages = cleanMessages(input.messages) ?? [];
  return messages === input.messages ? event : { ...event, input: { ...input, messages } };
}

/** RUN_FINISHED with an `outcome` whose interrupts a reducer can take. */
export function cleanRunFinished(event: EventLike): EventLike {
  const { outcome } = event;
  if (!isObject(outcome) || outcome.type !== "interrupt") return event;
  if (!Array.isArray(outcome.interrupts)) return withoutField(event, "outcome");
  const interrupts = cleanObjects(outcome.interrupts as unknown[]);
  return interrupts === outcome.interrupts
    ? event
    : { ...event, outcome: { ...outcome, interrupts } };
}

const subagentOptionals = [
  "description",
  "parentSubagentRunId",
  "parentToolCallId",
  "parentMessageId",
  "code",
];

/** A SUBAGENT_* event without those optional fields that are not valid. */
export function cleanSubagent(event: EventLike): EventLike {
  const clean = withoutNonStrings(event, subagentOptionals);
  const { outcome } = clean;
  if (outcome === undefined) return clean;
  if (!isObject(outcome) || (outcome.type !== "success" && outcome.type !== "suspended")) {
    return withoutField(clean, "outcome");
  }
  const { interruptIds } = outcome;
  if (interruptIds === undefined || isStringArray(interruptIds)) return clean;
  return { ...clean, outcome: withoutField(outcome, "interruptIds") };
}

function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null;
}

function isStringArray(value: unknown): boolean {
  return Array.isArray(value) && (value as unknown[]).every((item) => typeof item === "string");
}
