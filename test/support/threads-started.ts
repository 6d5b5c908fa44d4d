import type { Worker } from "node:worker_threads";
import { onTestFinished } from "vitest";

/**
 * The worker threads that this process starts until the end of the test, in order. A runner starts its
 * writer at its first use, and its readers when it is open.
 */
export function threadsStarted(
  options: { readonly onStart?: (thread: Worker) => void } = {},
): readonly Worker[] {
  const threads: Worker[] = [];
  const listen = (thread: Worker) => {
    threads.push(thread);
    options.onStart?.(thread);
  };
  process.on("worker", listen);
  onTestFinished(() => void process.off("worker", listen));
  return threads;
}

/** Resolves when the thread has ended, with or without an error. */
export function exitOf(thread: Worker): Promise<void> {
  return new Promise((resolve) => thread.once("exit", () => resolve()));
}
