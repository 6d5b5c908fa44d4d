/** A value is shared from this length of JSON on, in UTF-16 units. */
export const MIN_SHARED_LENGTH = 1024;

/** An event that may hold values which other runs of its thread hold too. */
export interface LargeEvent {
  readonly type: string;
  /** Its position among the events. */
  readonly index: number;
  /** Where its JSON begins in the JSON of all events, in UTF-16 units. */
  readonly at: number;
  readonly length: number;
}

/** Whether events of this type hold what the thread is at that moment, and so much of what they held before. */
export function isSnapshot(type: string): boolean {
  return type === "STATE_SNAPSHOT" || type === "MESSAGES_SNAPSHOT";
}

/** Whether events of this type are snapshots, or hold the input of a run. */
export function mayRepeat(type: string): boolean {
  return isSnapshot(type) || type === "RUN_STARTED";
}
