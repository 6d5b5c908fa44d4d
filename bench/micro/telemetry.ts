import { setImmediate as nextTurn } from "node:timers/promises";
import type { Bench } from "tinybench";
import { batchChannel, eventChannel, runChannel } from "../../src/telemetry/channels.ts";

const CHECKS = 1000;

/** What telemetry costs a run and a batch when nobody listens, beside turns of the event loop. */
export function addTelemetry(bench: Bench): void {
  bench.add(`telemetry: ${CHECKS} runs and batches look for listeners, and find none`, () => {
    for (let at = 0; at < CHECKS; at++) {
      const isRunHeard = runChannel.hasSubscribers || eventChannel.hasSubscribers;
      if (isRunHeard || batchChannel.hasSubscribers) throw new Error("somebody listens");
    }
  });
  bench.add(
    `telemetry: ${CHECKS} turns of the event loop, of which each run takes several`,
    async () => {
      for (let at = 0; at < CHECKS; at++) await nextTurn();
    },
  );
}
