import type { Bench } from "tinybench";
import { SegmentBuilder } from "../../src/events/json/segment.ts";
import { answerEvents } from "./run-events.ts";

export function addSerialization(bench: Bench): void {
  const events = answerEvents(204);
  bench.add("serialization: 204 events to one segment", () => {
    const segment = new SegmentBuilder({ rawEvents: true });
    for (const event of events) segment.push(event);
    segment.take();
  });
  bench.add("serialization: the same with JSON.stringify, one by one", () => {
    for (const event of events) JSON.stringify(event);
  });
}
