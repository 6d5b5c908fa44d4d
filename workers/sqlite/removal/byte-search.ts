/** Bytes of a needle: a part of a text, as it is in the file. Shorter texts are often in other threads, too. */
export const NEEDLE_BYTES = 12;

const BASE = 0x01000193;

/** `BASE` to the power of `NEEDLE_BYTES - 1`. */
let highest = 1;
for (let at = 1; at < NEEDLE_BYTES; at++) highest = Math.imul(highest, BASE);
const HIGHEST = highest;

/** Bits by which most places are passed over without a look at the needles. */
const FILTER_BITS = 22;

/**
 * Finds needles in bytes, all at once, by a rolling hash. A needle is a string with one character a byte
 * (latin1), and has `NEEDLE_BYTES` characters.
 */
export class ByteSearch {
  readonly #needles: ReadonlySet<string>;
  readonly #filter = new Uint8Array(2 ** FILTER_BITS);

  constructor(needles: Iterable<string>) {
    this.#needles = new Set(needles);
    for (const needle of this.#needles) {
      this.#filter[slotOf(hashOf(Buffer.from(needle, "latin1"), 0))] = 1;
    }
  }

  /** Adds the needles that are in `bytes` to `found`. */
  search(bytes: Buffer, found: Set<string>): void {
    const last = bytes.length - NEEDLE_BYTES;
    if (last < 0) return;
    let hash = hashOf(bytes, 0);
    for (let at = 0; ; at++) {
      if (this.#filter[slotOf(hash)] === 1) {
        const text = bytes.toString("latin1", at, at + NEEDLE_BYTES);
        if (this.#needles.has(text)) found.add(text);
      }
      if (at === last) return;
      const left = Math.imul(bytes[at] as number, HIGHEST);
      hash = (Math.imul(hash - left, BASE) + (bytes[at + NEEDLE_BYTES] as number)) | 0;
    }
  }
}

function hashOf(bytes: Buffer, from: number): number {
  let hash = 0;
  for (let at = from; at < from + NEEDLE_BYTES; at++) {
    hash = (Math.imul(hash, BASE) + (bytes[at] as number)) | 0;
  }
  return hash;
}

function slotOf(hash: number): number {
  return (hash ^ (hash >>> 15)) & (2 ** FILTER_BITS - 1);
}
