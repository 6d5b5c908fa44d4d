import { type Message, type ToolCall, toolCallOf, toolCallsOf } from "./message.ts";

/** The place of one message in the list. A change of the message is a new object in its place. */
export interface Place {
  message: Message;
}

/**
 * The messages of a view in their order. Message ids and tool call ids are indexed, so that an event
 * finds its message at the same cost in a long conversation as in a short one.
 *
 * Ids may repeat, and messages may lack an id. An id means the first message that has it, and
 * messages without an id share the id `undefined`.
 */
export class MessageList {
  #places: Place[] = [];
  readonly #byId = new Map<unknown, Place>();
  readonly #byToolCall = new Map<string, Place>();
  /** Places that stand in the list twice. */
  readonly #repeated = new Set<Place>();

  constructor(messages: readonly Message[]) {
    for (const message of messages) this.append(message);
  }

  find(id: unknown): Place | undefined {
    return this.#byId.get(id);
  }

  /** The first message, of whatever role, that has the tool call. */
  findOwner(toolCallId: string): Place | undefined {
    return this.#byToolCall.get(toolCallId);
  }

  /** The first assistant message that has the tool call. */
  findAssistant(toolCallId: string): Place | undefined {
    const owner = this.#byToolCall.get(toolCallId);
    if (owner === undefined || owner.message.role === "assistant") return owner;
    return this.#places.find(
      ({ message }) =>
        message.role === "assistant" && toolCallOf(message, toolCallId) !== undefined,
    );
  }

  append(message: Message): Place {
    const place = { message };
    this.#places.push(place);
    this.#index(place);
    return place;
  }

  /** Inserts the result of a tool call behind the results that follow `owner` already. */
  insertResult(result: Message, owner: Place): void {
    let at = this.#places.indexOf(owner) + 1;
    while (this.#places[at]?.message.role === "tool") at++;
    const place = { message: result };
    const namesake = this.#byId.get(result.id);
    this.#places.splice(at, 0, place);
    if (namesake === undefined || this.#places.indexOf(namesake) > at) {
      this.#byId.set(result.id, place);
    }
  }

  /** Adds a tool call that no message of the list has. */
  addToolCall(place: Place, call: ToolCall): void {
    const { message } = place;
    const calls = Array.isArray(message.toolCalls) ? (message.toolCalls as unknown[]) : [];
    place.message = { ...message, toolCalls: [...calls, call] };
    this.#byToolCall.set(call.id, place);
  }

  /** Puts a message of the same id in place of another: in one place, should that stand there twice. */
  replace(place: Place, message: Message): void {
    const hadToolCalls = toolCallsOf(place.message).length > 0;
    const isRepeated = this.#repeated.has(place);
    if (isRepeated) this.#places[this.#places.indexOf(place)] = { message };
    else place.message = message;
    if (isRepeated || hadToolCalls) this.#indexAll();
  }

  /** Takes `places` for the whole list. */
  reset(places: Place[]): void {
    this.#places = places;
    this.#indexAll();
  }

  get places(): readonly Place[] {
    return this.#places;
  }

  /** Whether a MESSAGES_SNAPSHOT can show the list: each message has an id of its own. */
  get isShowable(): boolean {
    if (this.#byId.size !== this.#places.length) return false;
    for (const id of this.#byId.keys()) if (typeof id !== "string") return false;
    return true;
  }

  toArray(): Message[] {
    return this.#places.map(({ message }) => message);
  }

  #indexAll(): void {
    this.#byId.clear();
    this.#byToolCall.clear();
    this.#repeated.clear();
    for (const place of this.#places) this.#index(place);
  }

  #index(place: Place): void {
    const { message } = place;
    const namesake = this.#byId.get(message.id);
    if (namesake === undefined) this.#byId.set(message.id, place);
    else if (namesake === place) this.#repeated.add(place);
    for (const { id } of toolCallsOf(message)) {
      if (!this.#byToolCall.has(id)) this.#byToolCall.set(id, place);
    }
  }
}
