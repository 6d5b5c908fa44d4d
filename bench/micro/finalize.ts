import type { Bench } from "tinybench";
import { finalizeRun } from "../../src/events/lifecycle/finalize.ts";
import { OpenParts } from "../../src/events/lifecycle/open-parts.ts";
import { answerEvents } from "./run-events.ts";

/** A run that ends in the middle of its text. */
export function addFinalize(bench: Bench): void {
  const events = answerEvents(24).slice(0, -2);
  bench.add("finalize: a run of 22 events without its end", () => {
    const parts = new OpenParts();
    for (const event of events) parts.observe(event);
    finalizeRun(parts, { threadId: "thread", runId: "run", stopped: true });
  });
}
