import { messageOf, RunStoreError } from "../protocol/errors.ts";
import type { InputMessage, RunInput } from "./agent.ts";

/** A run's input, read once: what its getters do, or the agent does to it later, changes nothing here. */
export interface ReadInput {
  readonly all: RunInput;
  /** By position; "" for a message that has no id, and so is new. */
  readonly messageIds: readonly string[];
}

/** @throws {RunStoreError} `INCOMPLETE_STREAM`: something of the input threw when it was read. */
export function readInput(input: RunInput): ReadInput {
  try {
    const given: unknown = input.messages;
    if (!Array.isArray(given)) return { all: input, messageIds: [] };
    const messages = [...(given as InputMessage[])];
    return { all: { ...input, messages }, messageIds: messages.map(messageIdOf) };
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

/** An id that is no non-empty string does not name a message: such a message is new. */
function messageIdOf(message: InputMessage): string {
  const id: unknown = message?.id;
  return typeof id === "string" ? id : "";
}
