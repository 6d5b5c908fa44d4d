/*
 * FNV-1a, 32 bits, over UTF-16 units: https://datatracker.ietf.org/doc/draft-eastlake-fnv/. Hashes are stored:
 * another function would make every stored hash wrong.
 */

/** The hash of nothing. */
export const EMPTY_HASH = 0x811c9dc5;

const PRIME = 0x01000193;

/** `hash`, with the units of `text` added. Adding a text in pieces gives the same hash. */
export function hashText(hash: number, text: string): number {
  let mixed = hash;
  for (let at = 0; at < text.length; at++) mixed = Math.imul(mixed ^ text.charCodeAt(at), PRIME);
  return mixed;
}

/** `hash`, with a 32-bit number added. */
export function hashNumber(hash: number, value: number): number {
  return Math.imul(Math.imul(hash ^ (value & 0xffff), PRIME) ^ (value >>> 16), PRIME);
}
