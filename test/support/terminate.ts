import type { Worker } from "node:worker_threads";
import { openGates } from "../../src/store/worker-threads/load-gates.ts";
import { eventually } from "./poll.ts";

/**
 * Terminates threads of a runner, which is not told. Waits while any thread loads the SQLite driver: the
 * driver aborts the whole process when its thread is terminated then.
 */
export async function terminate(threads: readonly Worker[]): Promise<void> {
  await eventually(() => ![...openGates].some((gate) => gate.isLoading));
  await Promise.all(threads.map((thread) => thread.terminate()));
}
