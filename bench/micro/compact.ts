import { compactEvents } from "@ag-ui/client";
import type { BaseEvent } from "@ag-ui/core";
import type { Bench } from "tinybench";
import { compactRun } from "../../src/events/compact/compact.ts";
import { answerEvents } from "./run-events.ts";

export function addCompact(bench: Bench): void {
  const events = answerEvents(204);
  bench.add("compact: a run of 204 events", () => {
    compactRun(events, {});
  });
  bench.add("compact: the same with compactEvents of @ag-ui/client", () => {
    compactEvents(events as unknown as BaseEvent[]);
  });
}
