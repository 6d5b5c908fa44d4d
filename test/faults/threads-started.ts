import type { Worker } from "node:worker_threads";
import { onTestFinished } from "vitest";

/**
 * The worker threads that this process starts from now on until the end of the test, in order:
 * a runner's writer comes with its first use, its readers come when it is open.
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

/** Resolves when the thread is gone, whether or not it failed. */
export function exitOf(thread: Worker): Promise<void> {
  return new Promise((resolve) => thread.once("exit", () => resolve()));
}
