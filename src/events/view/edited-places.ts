import { callKeysOf } from "../client-messages.ts";
import type { Message } from "./message.ts";
import type { Place } from "./message-list.ts";

/** A place in a linked list: the edits of a long list need no positions, which each edit would move. */
interface Node {
  place: Place;
  before: Node | null;
  after: Node | null;
}

/** The places of a list while the edits of a client are applied. An edit costs the same in a long list. */
export class EditedPlaces {
  #first: Node | null = null;
  #last: Node | null = null;
  readonly #byId = new Map<unknown, Set<Node>>();
  readonly #byCall = new Map<string, Set<Node>>();

  constructor(places: readonly Place[]) {
    for (const place of places) this.#insert(place, this.#last);
  }

  toArray(): Place[] {
    const places: Place[] = [];
    for (let node = this.#first; node !== null; node = node.after) places.push(node.place);
    return places;
  }

  /**
   * Puts a message in the place of the one that it was, or of those that make or answer the same tool
   * calls, of which a client keeps one; or else behind the message `after`, first if that is null.
   */
  apply(message: Message, after: unknown): void {
    const [first, ...others] = this.#replacedBy(message);
    if (first !== undefined) {
      this.#unindex(first);
      first.place = { message };
      this.#index(first);
      for (const other of others) this.#remove(other);
    } else if (after === null) {
      this.#insert({ message }, null);
    } else {
      const before = this.#inOrder(this.#byId.get(after)).at(-1);
      if (before !== undefined) this.#insert({ message }, before);
    }
  }

  /** The places that a message replaces, in the order of the list. */
  #replacedBy(message: Message): readonly Node[] {
    const namesakes = [...(this.#byId.get(message.id) ?? [])];
    const same = namesakes.filter(({ place }) => place.message.role === message.role);
    if (same.length > 0) return this.#inOrder(new Set(same));
    const nodes = callKeysOf(message).flatMap((call) => [...(this.#byCall.get(call) ?? [])]);
    return this.#inOrder(new Set(nodes));
  }

  #inOrder(nodes: ReadonlySet<Node> = new Set()): readonly Node[] {
    // Ids and tool calls seldom repeat.
    if (nodes.size < 2) return [...nodes];
    const found: Node[] = [];
    for (let node = this.#first; node !== null; node = node.after) {
      if (nodes.has(node)) found.push(node);
    }
    return found;
  }

  #insert(place: Place, before: Node | null): void {
    const after = before === null ? this.#first : before.after;
    const node = { place, before, after };
    if (before === null) this.#first = node;
    else before.after = node;
    if (after === null) this.#last = node;
    else after.before = node;
    this.#index(node);
  }

  #remove(node: Node): void {
    this.#unindex(node);
    const { before, after } = node;
    if (before === null) this.#first = after;
    else before.after = after;
    if (after === null) this.#last = before;
    else after.before = before;
  }

  #index(node: Node): void {
    const { message } = node.place;
    addTo(this.#byId, message.id, node);
    for (const call of callKeysOf(message)) addTo(this.#byCall, call, node);
  }

  #unindex(node: Node): void {
    const { message } = node.place;
    this.#byId.get(message.id)?.delete(node);
    for (const call of callKeysOf(message)) this.#byCall.get(call)?.delete(node);
  }
}

function addTo<Key>(index: Map<Key, Set<Node>>, key: Key, node: Node): void {
  const nodes = index.get(key);
  if (nodes === undefined) index.set(key, new Set([node]));
  else nodes.add(node);
}
