import * as client0 from "@ag-ui/client";
import { EventSchemas } from "@ag-ui/core";
import * as client1 from "ag-ui-client-1";
import { from, lastValueFrom, type Observable, toArray } from "rxjs";
import type { EventLike } from "../../src/events/event.ts";

/** The two versions of `@ag-ui/client` that streams have to satisfy, as far as tests use them. */
interface Client {
  readonly version: string;
  verify(events: Observable<EventLike>): Observable<unknown>;
  expandAndVerify(events: Observable<EventLike>): Observable<unknown>;
  apply(
    events: Observable<EventLike>,
    conversation: Conversation,
  ): Observable<{ messages?: unknown; state?: unknown }>;
  /** Whether the client takes a state that `apply` gives it, and not the one that it holds already. */
  takes(state: unknown): boolean;
}

export interface Conversation {
  readonly messages: unknown;
  readonly state: unknown;
}

// The clients' own types differ from each other's, and events under test are often invalid.
type Untyped = (...args: unknown[]) => never;
const client = (version: string, library: object, takes: Client["takes"]): Client => {
  const { verifyEvents, transformChunks, defaultApplyEvents } = library as Record<string, Untyped>;
  if (!verifyEvents || !transformChunks || !defaultApplyEvents) throw new Error("not a client");
  return {
    version,
    verify: (events) => events.pipe(verifyEvents(false) as never) as never,
    // Like an agent does with events from a server.
    expandAndVerify: (events) =>
      events.pipe(transformChunks(false) as never, verifyEvents(false) as never) as never,
    apply(events, conversation) {
      const agent = { ...conversation };
      const input = { threadId: "t", runId: "r", tools: [], context: [], ...conversation };
      return defaultApplyEvents(input, events, agent, [], false);
    },
    takes,
  };
};

/** Decides where the clients differ. */
export const oldestClient: Client = client("0.0.59", client0, Boolean);

export const clients: readonly Client[] = [
  oldestClient,
  client("1.0.0", client1, (state) => state !== undefined),
];

/** Rejects with the client's own error if a client does not accept `events` as a stream. */
export async function verifyWithClients(events: readonly EventLike[]): Promise<void> {
  for (const { verify, expandAndVerify } of clients) {
    // A copy, as clients have been seen to change events.
    await lastValueFrom(verify(from(structuredClone(events))).pipe(toArray()));
    await lastValueFrom(expandAndVerify(from(structuredClone(events))).pipe(toArray()));
  }
}

/** The messages and state that each client gets from `events`, starting from `before`. */
export async function reduceWithClients(
  events: readonly EventLike[],
  before: Conversation = { messages: [], state: {} },
): Promise<Conversation[]> {
  const results: Conversation[] = [];
  for (const { apply, takes } of clients) {
    let { messages, state } = structuredClone(before);
    const mutations = apply(from(structuredClone(events)), { messages, state });
    for (const mutation of await lastValueFrom(mutations.pipe(toArray()))) {
      if (mutation.messages !== undefined) messages = mutation.messages;
      if (takes(mutation.state)) state = mutation.state;
    }
    results.push({ messages, state });
  }
  return results;
}

/** Throws if a client would not accept one of `events` from a server. */
export function parseWithSchemas(events: readonly EventLike[]): void {
  for (const event of events) EventSchemas.parse(event);
}
