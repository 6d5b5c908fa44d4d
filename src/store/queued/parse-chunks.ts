import { setImmediate as nextTask } from "node:timers/promises";

/** An object in JSON whose messages come apart, so that no task has to parse all of them. */
export interface MessagesInChunks {
  /** JSON of the object without its messages. */
  readonly rest: string;
  /** JSON arrays of its messages, in order. */
  readonly messages: readonly string[];
}

/** Parses an object in several tasks, so that a long one does not hold up the loop. */
export async function parseChunks<T extends { readonly messages: readonly unknown[] }>({
  rest,
  messages: chunks,
}: MessagesInChunks): Promise<T> {
  const messages: unknown[] = [];
  for (const [at, chunk] of chunks.entries()) {
    if (at > 0) await nextTask();
    for (const message of JSON.parse(chunk) as unknown[]) messages.push(message);
  }
  return { ...(JSON.parse(rest) as object), messages } as unknown as T;
}
