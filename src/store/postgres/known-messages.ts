import type { ThreadMessages } from "./thread-messages.ts";
import type { ThreadRow } from "./thread-row.ts";

/** How many messages are remembered, of all threads together: about 20 MB. */
const MAX_MESSAGES = 100_000;

/** A thread counts as so many messages beside its own. */
const PER_THREAD = 8;

/**
 * The messages of the threads that this instance has claimed lately. A claim then need not read them. They
 * are right for a thread whose epoch is still the same: see `ThreadMessages`.
 */
export class KnownMessages {
  /** The least recently used thread comes first. */
  readonly #threads = new Map<
    string,
    { readonly messages: ThreadMessages; readonly size: number }
  >();
  #size = 0;

  get(threadId: string): ThreadMessages | undefined {
    return this.#threads.get(threadId)?.messages;
  }

  /** The messages of a thread, if what is known is right for this row of it. */
  of(row: ThreadRow): ThreadMessages | undefined {
    const known = this.get(row.threadId);
    return known?.epoch === row.epoch && known.isOf(row) ? known : undefined;
  }

  /** Remembers the messages of a thread, as they are after a commit. */
  keep(threadId: string, messages: ThreadMessages): void {
    this.forget(threadId);
    const size = messages.size + PER_THREAD;
    this.#threads.set(threadId, { messages, size });
    this.#size += size;
    for (const oldest of this.#threads.keys()) {
      if (this.#size <= MAX_MESSAGES || oldest === threadId) break;
      this.forget(oldest);
    }
  }

  /** A transaction that may change what is known takes it: see `keep`. */
  forget(threadId: string): void {
    this.#size -= this.#threads.get(threadId)?.size ?? 0;
    this.#threads.delete(threadId);
  }
}
