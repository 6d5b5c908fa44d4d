import {
  type ClientMessages,
  clientMessagesOf,
  type KnownMessages,
  type ListedMessage,
} from "../events/client-messages.ts";
import { digestOfMessage } from "../events/message-digests.ts";
import { messageOf, RunStoreError } from "../protocol/errors.ts";
import type { InputMessage, RunInput } from "./agent.ts";

/** Whether a client's list of messages only brings new ones, or is what the thread shows from then on. */
export type InputMessages = "additive" | "authoritative";

/** A run's input, read once: what its getters do, or the agent does to it later, changes nothing here. */
export interface ReadInput {
  readonly all: RunInput;
  /** By position; "" for a message that has no id, and so is new. */
  readonly messageIds: readonly string[];
  /** By position, what a store compares them by: `digestOfMessage`. */
  readonly messageDigests: readonly number[];
}

/** @throws {RunStoreError} `INCOMPLETE_STREAM`: something of the input threw when it was read. */
export function readInput(input: RunInput): ReadInput {
  try {
    const given: unknown = input.messages;
    if (!Array.isArray(given)) return { all: input, messageIds: [], messageDigests: [] };
    const messages = [...(given as InputMessage[])];
    const messageIds = messages.map(messageIdOf);
    return {
      all: { ...input, messages },
      messageIds,
      messageDigests: messages.map(digestOfMessage),
    };
  } catch (cause) {
    const message = `The run's input cannot be read: ${messageOf(cause)}`;
    throw new RunStoreError("INCOMPLETE_STREAM", message, { cause });
  }
}

/** The input with those of its messages alone that were not seen before. */
export function messagesNewTo({ all, messageIds }: ReadInput, seen: readonly boolean[]): RunInput {
  if (!Array.isArray(all.messages)) return all;
  const messages = all.messages.filter((_, at) => messageIds[at] === "" || !seen[at]);
  return { ...all, messages };
}

/** What a client's list of messages says beside bringing new ones. */
export interface ClientList {
  /** Null when it says nothing else. */
  readonly clientMessages: ClientMessages | null;
  /** All messages of the list, where the list is to be stored whole; else null. */
  readonly whole: readonly ListedMessage[] | null;
}

export function clientListOf(
  { all, messageIds }: ReadInput,
  known: KnownMessages,
  inputMessages: InputMessages,
): ClientList {
  if (!Array.isArray(all.messages)) return { clientMessages: null, whole: null };
  const messages = all.messages as readonly InputMessage[] as readonly ListedMessage[];
  if (inputMessages === "authoritative") {
    return { clientMessages: { authoritative: true }, whole: messages };
  }
  return { clientMessages: clientMessagesOf(messages, messageIds, known), whole: null };
}

/** The input without `forwardedProps`: clients send tokens in it, which are for the agent alone. */
export function withoutForwardedProps(input: unknown): unknown {
  if (typeof input !== "object" || input === null || !("forwardedProps" in input)) return input;
  const { forwardedProps: _, ...rest } = input;
  return rest;
}

/** An id that is no non-empty string does not name a message: such a message is new. */
function messageIdOf(message: InputMessage): string {
  const id: unknown = message?.id;
  return typeof id === "string" ? id : "";
}
