import type { ThreadValues } from "./thread-values.ts";

/** UTF-16 units of values that are remembered at most, for all threads together. */
const MAX_REMEMBERED = 32 * 1024 * 1024;

interface Entry<Thread> {
  readonly thread: Thread;
  /** `values.size` when the thread was remembered. */
  readonly size: number;
}

/** The latest values of the threads that were used last. */
export class RememberedThreads<Thread extends { readonly values: ThreadValues }> {
  /** The least recently used thread comes first. */
  readonly #entries = new Map<string, Entry<Thread>>();
  #size = 0;

  has(threadId: string): boolean {
    return this.#entries.has(threadId);
  }

  /** Returns a thread and forgets it: until `put`, its values may be half changed. */
  take(threadId: string): Thread | undefined {
    const entry = this.#entries.get(threadId);
    this.#entries.delete(threadId);
    this.#size -= entry?.size ?? 0;
    return entry?.thread;
  }

  /** Remembers a thread, and forgets others if they are too much with it. */
  put(threadId: string, thread: Thread): void {
    const { size } = thread.values;
    this.#size += size;
    this.#entries.set(threadId, { thread, size });
    for (const oldest of this.#entries.keys()) {
      if (this.#size <= MAX_REMEMBERED || oldest === threadId) return;
      this.take(oldest);
    }
  }

  clear(): void {
    this.#entries.clear();
    this.#size = 0;
  }
}
