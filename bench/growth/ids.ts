/** The four digits of each number below 2^16. */
const DIGITS = Array.from({ length: 65_536 }, (_, value) => value.toString(16).padStart(4, "0"));

/** The finalizer of MurmurHash3. */
function mix(value: number): number {
  let mixed = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

/**
 * The id `at` of a thread of the file. It looks like the random UUIDs of CopilotKit's clients, and depends on both
 * numbers alone: nothing needs to remember the ids of ten million runs.
 */
export function uuidOf(thread: number, at: number): string {
  const word = (salt: number) => mix(mix(thread + salt) ^ mix(at + 31 * salt + 7));
  const [a, b, c, d] = [word(1), word(2), word(3), word(4)];
  const digits = (value: number) => DIGITS[value & 0xffff] as string;
  const version = 0x4000 | (b & 0xfff);
  const variant = 0x8000 | (c & 0x3fff);
  return `${digits(a >>> 16)}${digits(a)}-${digits(b >>> 16)}-${digits(version)}-${digits(variant)}-${digits(c >>> 16)}${digits(d >>> 16)}${digits(d)}`;
}

/** The id of the thread itself. */
export const threadIdOf = (thread: number): string => uuidOf(thread, 0);
