import { setTimeout as delay } from "node:timers/promises";
import { LoadGate } from "../../protocol/load-gate.ts";

/** Loading takes less than a millisecond of computing. A thread that dies while it loads never ends it. */
const MAX_LOAD_MS = 5000;

/** How often to look whether threads are still loading. */
const LOOK_EVERY_MS = 1;

/** The gates of the pools that are open in this process. */
export const openGates = new Set<LoadGate>();

export function openGate(): LoadGate {
  const gate = new LoadGate();
  if (openGates.size === 0) process.on("exit", shutAllGates);
  openGates.add(gate);
  return gate;
}

/** Resolves when no thread of the gate loads the driver, and none will. */
export async function shutGate(gate: LoadGate): Promise<void> {
  gate.shut();
  const deadline = performance.now() + MAX_LOAD_MS;
  while (gate.isLoading && performance.now() < deadline) await delay(LOOK_EVERY_MS);
  openGates.delete(gate);
  if (openGates.size === 0) process.off("exit", shutAllGates);
}

/** Node terminates all threads when the process exits, and nothing asynchronous happens any more. */
function shutAllGates(): void {
  const deadline = performance.now() + MAX_LOAD_MS;
  for (const gate of openGates) gate.shut();
  for (const gate of openGates) {
    while (gate.isLoading && performance.now() < deadline) {
      gate.waitForChange(deadline - performance.now());
    }
  }
}
