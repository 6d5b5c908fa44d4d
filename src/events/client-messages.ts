/** A message as far as a client's list of messages needs it. */
export interface ListedMessage {
  readonly id?: unknown;
  readonly role?: unknown;
  readonly [field: string]: unknown;
}

/**
 * What a client's list of messages says beside bringing new messages at its end, in a form that does not
 * grow with the list. The thread's view is changed by it: see `view/`.
 *
 * It is stored with the run, as the field `clientMessages` of its RUN_STARTED, and is never emitted.
 */
export interface ClientMessages {
  /** New messages that stand before known ones: their ids, and the id of the message before (null: none). */
  readonly placed?: readonly (readonly [id: string, after: string | null])[];
  /** The ids of new messages each of which is the one result of its tool call in the list. */
  readonly results?: readonly string[];
  /** Known messages whose content is another one now. */
  readonly changed?: readonly ListedMessage[];
  /** Set when the list ends in a known message: if the view begins with this list, it ends there. */
  readonly end?: ListEnd;
  /**
   * The list is the view: what is not in it is gone. Then the input that is stored holds the whole list,
   * and the other fields are not set.
   */
  readonly authoritative?: true;
}

/** The end of a list, without activities and reasoning: clients do not send those back, or not always. */
export interface ListEnd {
  /** The id of the last message. */
  readonly id: string;
  /** How many messages the list has. */
  readonly count: number;
  /** `digestOfIds` of the list. */
  readonly digest: number;
}

/** How a claim answered about a list, by position. */
export interface KnownMessages {
  readonly seen: readonly boolean[];
  readonly changed: readonly number[];
}

/** Whether clients send messages of this kind back in their list. */
export function isSentBack({ role }: ListedMessage): boolean {
  return role !== "activity" && role !== "reasoning";
}

/** A hash of the ids, in order: FNV-1a, 32 bits, over UTF-16 units. */
export function digestOfIds(ids: readonly string[]): number {
  let hash = 0x811c9dc5;
  const add = (unit: number) => {
    hash = Math.imul(hash ^ unit, 0x01000193);
  };
  for (const id of ids) {
    for (let at = 0; at < id.length; at++) add(id.charCodeAt(at));
    add(0xffff);
  }
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
  const placed = placedAmong(ids, known.seen);
  const changed = known.changed.flatMap((at): readonly ListedMessage[] => {
    const message = messages[at];
    return message === undefined ? [] : [message];
  });
  const results = resultsAmong(messages, ids, known.seen);
  const end = endOf(messages, ids, known.seen);
  const isPlain = placed.length === 0 && results.length === 0 && changed.length === 0;
  if (isPlain && end === null) return null;
  return {
    ...(placed.length > 0 && { placed }),
    ...(results.length > 0 && { results }),
    ...(changed.length > 0 && { changed }),
    ...(end !== null && { end }),
  };
}

function placedAmong(
  ids: readonly string[],
  seen: readonly boolean[],
): readonly (readonly [id: string, after: string | null])[] {
  const placed: [id: string, after: string | null][] = [];
  const lastKnown = seen.lastIndexOf(true);
  for (let at = 0; at < lastKnown; at++) {
    const id = ids[at] ?? "";
    if (id !== "" && !seen[at]) placed.push([id, ids[at - 1] || null]);
  }
  return placed;
}

function resultsAmong(
  messages: readonly ListedMessage[],
  ids: readonly string[],
  seen: readonly boolean[],
): readonly string[] {
  const isNewResult = (message: ListedMessage, at: number) =>
    message?.role === "tool" && !seen[at] && ids[at] !== "";
  if (!messages.some(isNewResult)) return [];
  const counts = new Map<unknown, number>();
  for (const message of messages) {
    if (message?.role !== "tool") continue;
    counts.set(message.toolCallId, (counts.get(message.toolCallId) ?? 0) + 1);
  }
  return ids.filter((_, at) => {
    const message = messages[at] ?? {};
    return isNewResult(message, at) && counts.get(message.toolCallId) === 1;
  });
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
