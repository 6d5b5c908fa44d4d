/** The JSON length, in UTF-16 units, from which on a value is shared between runs. */
export const MIN_SHARED_LENGTH = 1024;

/** An event that may have values that other runs of its thread have too. */
export interface LargeEvent {
  readonly type: string;
  /** Its position among the events. */
  readonly index: number;
  /** The begin of its JSON in the JSON of all events, in UTF-16 units. */
  readonly at: number;
  readonly length: number;
}

/** Whether events of this type are snapshots. A snapshot repeats much of the snapshot before it. */
export function isSnapshot(type: string): boolean {
  return type === "STATE_SNAPSHOT" || type === "MESSAGES_SNAPSHOT";
}

/** Whether events of this type are snapshots, or have the input of a run. */
export function mayRepeat(type: string): boolean {
  return isSnapshot(type) || type === "RUN_STARTED";
}
