import type { Worker } from "node:worker_threads";
import { openGates } from "../../src/store/worker-threads/native-gates.ts";
import { eventually } from "./poll.ts";

/**
 * Terminates threads of a runner, which is not told. Waits while any thread is in a call of native code that
 * would abort the whole process: see `NativeGate`.
 */
export async function terminate(threads: readonly Worker[]): Promise<void> {
  await eventually(() => ![...openGates].some((gate) => gate.isBusy));
  await Promise.all(threads.map((thread) => thread.terminate()));
}
