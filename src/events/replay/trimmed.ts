/** Events whose effect is in the view: a replay shows the view, and leaves them out. */
const TRIMMED: ReadonlySet<string> = new Set([
  "STATE_SNAPSHOT",
  "STATE_DELTA",
  "MESSAGES_SNAPSHOT",
]);

const ANY_TRIMMED = new RegExp(`"(?:${[...TRIMMED].join("|")})"`);

export function isTrimmed(type: string): boolean {
  return TRIMMED.has(type);
}

/** Whether a trimmed event may be among events whose JSON this is. */
export function mayBeTrimmed(json: string): boolean {
  return ANY_TRIMMED.test(json);
}
