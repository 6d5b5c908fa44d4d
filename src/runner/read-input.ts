import {
  type ClientMessages,
  clientMessagesOf,
  type KnownMessages,
  type ListedMessage,
} from "../events/client-messages.ts";
import { digestOfMessage } from "../events/message-digests.ts";
import { messageOf, RunStoreError } from "../protocol/errors.ts";
import type { InputMessage, RunInput } from "./agent.ts";

/** How a client's list of messages changes the thread: see `RunnerOptions.inputMessages`. */
export type InputMessages = "additive" | "authoritative";

/** A run's input, read once: its getters and later changes by the agent have no effect on it. */
export interface ReadInput {
  readonly all: RunInput;
  /** The id of each message, by position. "" for a message without an id, which always counts as new. */
  readonly messageIds: readonly string[];
  /** By position, `digestOfMessage` of each message: a store compares messages by it. */
  readonly messageDigests: readonly number[];
}

/**
 * Reads an input.
 *
 * @throws {RunStoreError} `INCOMPLETE_STREAM`: a getter of the input threw.
 */
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

/** The input with only those messages that the thread has not stored yet. */
export function messagesNewTo({ all, messageIds }: ReadInput, seen: readonly boolean[]): RunInput {
  if (!Array.isArray(all.messages)) return all;
  const messages = all.messages.filter((_, at) => messageIds[at] === "" || !seen[at]);
  return { ...all, messages };
}

/** The changes to a thread in a client's list of messages, besides new messages at its end. */
export interface ClientList {
  /** Null when there are no such changes. */
  readonly clientMessages: ClientMessages | null;
  /** All messages of the list, if the list is stored whole. Else null. */
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

/** The input without `forwardedProps`: clients send tokens in it, which only the agent may see. */
export function withoutForwardedProps(input: unknown): unknown {
  if (typeof input !== "object" || input === null || !("forwardedProps" in input)) return input;
  const { forwardedProps: _, ...rest } = input;
  return rest;
}

/** The id of a message, or "" if its id is no string. */
function messageIdOf(message: InputMessage): string {
  const id: unknown = message?.id;
  return typeof id === "string" ? id : "";
}
