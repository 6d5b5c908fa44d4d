import { emitAnswer } from "../workloads/agents.ts";

type EventObject = { readonly type: string; readonly [field: string]: unknown };

/** The events of one answer, as plain objects. */
export function answerEvents(eventsPerRun: number): EventObject[] {
  const events: EventObject[] = [];
  emitAnswer({ threadId: "thread", runId: "run" }, eventsPerRun, (event) => {
    events.push({ ...event });
  });
  return events;
}
