/**
 * Slots with similar content, by family: clients send the content of a snapshot back with the next run. A
 * value is compared with the latest values of its family.
 */
const FAMILIES: ReadonlyMap<string, string> = new Map([
  ["STATE_SNAPSHOT", "state"],
  ["input.state", "state"],
  ["MESSAGES_SNAPSHOT", "messages"],
  ["input.messages", "messages"],
]);

/** By type of snapshot, the text before its content, the state or the messages. */
const HEADS: ReadonlyMap<string, string> = new Map([
  ["STATE_SNAPSHOT", '"snapshot":'],
  ["MESSAGES_SNAPSHOT", '"messages":'],
]);

/** UTF-16 units at the beginning of a snapshot that are searched for its head. */
const MAX_HEAD = 256;

export function familyOf(slot: string): string {
  return FAMILIES.get(slot) ?? slot;
}

/** The text of a snapshot before its content; "" for any other value. */
export function headOf(slot: string, text: string): string {
  const head = HEADS.get(slot);
  const at = head === undefined ? -1 : text.slice(0, MAX_HEAD).indexOf(head);
  return head === undefined || at < 0 ? "" : text.slice(0, at + head.length);
}
