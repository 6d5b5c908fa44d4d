import { EMPTY_HASH, hashText } from "./hash.ts";

/** The part of a message that matters in a client's list of messages. */
export interface ListedMessage {
  readonly id?: unknown;
  readonly role?: unknown;
  readonly [field: string]: unknown;
}

/**
 * How a client's list of messages changes the view of the thread, besides new messages at its end. Its
 * size does not grow with the list. See `view/`.
 *
 * It is stored with the run, as the field `clientMessages` of its RUN_STARTED, and is never emitted.
 */
export interface ClientMessages {
  /** All changes other than new messages at the end of the list, in the order of the list. */
  readonly edits?: readonly ListEdit[];
  /**
   * Set when the list ends in a known message. If the view begins with this list, it is cut after it. So it is if
   * the view lacks the beginning of the list, because old runs were removed.
   */
  readonly end?: ListEnd;
  /**
   * The view becomes the list: other messages are dropped. The stored input then has the whole list,
   * and the other fields are not set.
   */
  readonly authoritative?: true;
}

/** A message that is new before known messages, replaces a message, or has a changed content. */
export interface ListEdit {
  readonly id: string;
  /** The id of the message before it in the list. Null for the first message. */
  readonly after: string | null;
  /** The message, if it was known and its content has changed. A new message is in the run's input. */
  readonly message?: ListedMessage;
}

/** The end of a list, without activities and reasoning, which clients do not always send back. */
export interface ListEnd {
  /** The id of the last message. */
  readonly id: string;
  /** How many messages the list has. */
  readonly count: number;
  /** `digestOfIds` of the list. */
  readonly digest: number;
}

/** The answer of a claim about a list, by position. */
export interface KnownMessages {
  readonly seen: readonly boolean[];
  readonly changed: readonly number[];
}

/** Whether clients send messages of this kind back in their list. */
export function isSentBack({ role }: ListedMessage): boolean {
  return role !== "activity" && role !== "reasoning";
}

/** A hash of the ids, in order. */
export function digestOfIds(ids: readonly string[]): number {
  let hash = EMPTY_HASH;
  // U+FFFF is no character: it stands between ids.
  for (const id of ids) hash = hashText(hashText(hash, id), "\uffff");
  return hash >>> 0;
}

/**
 * What is to be recorded of a client's list beside its new messages, or null when that is nothing: the
 * list brings new messages at its end, and that is all. `ids` has "" for a message without an id, which
 * is new. Costs what reading the list costs.
 */
export function clientMessagesOf(
  messages: readonly ListedMessage[],
  ids: readonly string[],
  known: KnownMessages,
): ClientMessages | null {
  const edits = editsOf(messages, ids, known);
  const end = endOf(messages, ids, known.seen);
  if (edits.length === 0 && end === null) return null;
  return { ...(edits.length > 0 && { edits }), ...(end !== null && { end }) };
}

function editsOf(
  messages: readonly ListedMessage[],
  ids: readonly string[],
  { seen, changed }: KnownMessages,
): readonly ListEdit[] {
  const lastKnown = seen.lastIndexOf(true);
  const isChanged = changed.length === 0 ? NONE : new Set(changed);
  const isReplacing = replacingAmong(messages, ids, seen);
  const edits: ListEdit[] = [];
  for (const [at, id] of ids.entries()) {
    const isNew = id !== "" && !seen[at];
    const isEdit = isChanged.has(at) || (isNew && (at < lastKnown || isReplacing(at)));
    if (!isEdit) continue;
    const after = at === 0 ? null : (ids[at - 1] ?? null);
    const message = messages[at];
    edits.push({ id, after, ...(isChanged.has(at) && message && { message }) });
  }
  return edits;
}

/** Whether a new message has tool calls, and no other message of the list has one of them. */
function replacingAmong(
  messages: readonly ListedMessage[],
  ids: readonly string[],
  seen: readonly boolean[],
): (at: number) => boolean {
  const calls = messages.map(callKeysOf);
  if (!calls.some(({ length }, at) => length > 0 && ids[at] !== "" && !seen[at])) return never;
  const counts = new Map<string, number>();
  for (const call of calls.flat()) counts.set(call, (counts.get(call) ?? 0) + 1);
  return (at) => {
    const own = calls[at] ?? [];
    return own.length > 0 && own.every((call) => counts.get(call) === 1);
  };
}

const NONE: ReadonlySet<number> = new Set();
const NO_KEYS: readonly string[] = [];
const never = () => false;

/**
 * A key for each tool call that a message makes or answers. Two messages with the same key make, or
 * answer, the same call: a client keeps one of them.
 */
export function callKeysOf(message: ListedMessage): readonly string[] {
  if (message?.role === "tool") {
    return typeof message.toolCallId === "string" ? [`answers ${message.toolCallId}`] : NO_KEYS;
  }
  if (message?.role !== "assistant" || !Array.isArray(message.toolCalls)) return NO_KEYS;
  return (message.toolCalls as ({ readonly id?: unknown } | null | undefined)[]).flatMap((call) =>
    typeof call?.id === "string" ? [`makes ${call.id}`] : [],
  );
}

function endOf(
  messages: readonly ListedMessage[],
  ids: readonly string[],
  seen: readonly boolean[],
): ListEnd | null {
  if (seen.at(-1) !== true) return null;
  const sent = ids.filter((_, at) => isSentBack(messages[at] ?? {}));
  const id = sent.at(-1);
  return id === undefined || id === ""
    ? null
    : { id, count: sent.length, digest: digestOfIds(sent) };
}
