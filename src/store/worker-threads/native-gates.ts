import { setTimeout as delay } from "node:timers/promises";
import { NativeGate } from "../../native/native-gate.ts";

/** A call takes milliseconds of computing. A thread that dies during a call never ends it. */
const MAX_CALL_MS = 5000;

/** How often to look whether calls are still under way. */
const LOOK_EVERY_MS = 1;

/** The gates of the pools that are open in this process. */
export const openGates = new Set<NativeGate>();

export function openGate(): NativeGate {
  const gate = new NativeGate();
  // Before the listeners of others: when one of them throws, those behind it are not called.
  if (openGates.size === 0) process.prependListener("exit", shutAllGates);
  openGates.add(gate);
  return gate;
}

/** Resolves when no thread of the gate is in a call, and none will be. */
export async function shutGate(gate: NativeGate): Promise<void> {
  gate.shut();
  const deadline = performance.now() + MAX_CALL_MS;
  while (gate.isBusy && performance.now() < deadline) await delay(LOOK_EVERY_MS);
  openGates.delete(gate);
  if (openGates.size === 0) process.off("exit", shutAllGates);
}

/** Node terminates all threads when the process exits, and nothing asynchronous happens any more. */
function shutAllGates(): void {
  const deadline = performance.now() + MAX_CALL_MS;
  for (const gate of openGates) gate.shut();
  for (const gate of openGates) {
    while (gate.isBusy && performance.now() < deadline) {
      gate.waitForChange(deadline - performance.now());
    }
  }
}
