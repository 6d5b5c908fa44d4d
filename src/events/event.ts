/**
 * An AG-UI event: a `type` and any other fields.
 *
 * Every `BaseEvent` of every version of `@ag-ui/core` fits. Types are compared as strings, so that
 * neither the main thread nor the worker threads load `@ag-ui/core` at run time.
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

/** True for RUN_FINISHED and RUN_ERROR, which end a run. */
export function isTerminal(event: EventLike): boolean {
  return event.type === "RUN_FINISHED" || event.type === "RUN_ERROR";
}

/**
 * The message for a run that ended without a terminal event. The same text as in `@copilotkit/shared`.
 */
export const NO_TERMINAL = "Run ended without emitting a terminal event";
