/**
 * An AG-UI event as the rooms below `src/events` see it: a `type` and any other fields.
 *
 * Every `BaseEvent` of `@ag-ui/core` is one, whatever its version. Types are compared as
 * strings, so that neither this room nor the worker threads load `@ag-ui/core` at run time.
 */
export interface EventLike {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** The field `name` of `event` if it is a string, else undefined. */
export function stringField(event: EventLike, name: string): string | undefined {
  const value = event[name];
  return typeof value === "string" ? value : undefined;
}

/** True for RUN_FINISHED and RUN_ERROR, after which a run has ended. */
export function isTerminal(event: EventLike): boolean {
  return event.type === "RUN_FINISHED" || event.type === "RUN_ERROR";
}

/** What is said of a run that ended without a terminal event, in the words of `@copilotkit/shared`. */
export const NO_TERMINAL = "Run ended without emitting a terminal event";
