import { NEEDLE_BYTES } from "./byte-search.ts";

/** How many needles are kept. */
const MAX_NEEDLES = 20_000;

/**
 * Zero bytes that a needle has at most. Repetitive text is deflated to long runs of zeros. The free space of pages is
 * zeros, too, so such a needle would be found in every file.
 */
const MAX_ZEROS = NEEDLE_BYTES / 4;

/** Bytes between two needles of one long text: a page of the file has at least two of them. */
const STRIDE = 400;

/**
 * Parts of what is to be erased, by which it is looked for in the files afterwards. Of very much content, a
 * random share is kept.
 */
export class Needles {
  #kept = new Set<string>();
  /** One needle of so many is kept. */
  #oneOf = 1;

  get size(): number {
    return this.#kept.size;
  }

  [Symbol.iterator](): Iterator<string> {
    return this.#kept[Symbol.iterator]();
  }

  /** Takes the texts of a JSON. Texts in files are UTF-8, and escaped as they are in the JSON. */
  addJson(json: string | null): void {
    if (json === null) return;
    for (let at = json.indexOf('"'); at >= 0; ) {
      const end = endOfText(json, at + 1);
      this.addText(json.slice(at + 1, end));
      at = json.indexOf('"', end + 1);
    }
  }

  addText(text: string | null): void {
    if (text !== null && text.length >= NEEDLE_BYTES / 4) this.addBytes(Buffer.from(text, "utf8"));
  }

  addBytes(bytes: Buffer | Uint8Array | null): void {
    if (bytes === null) return;
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    const last = buffer.length - NEEDLE_BYTES;
    if (last < 0) return;
    const needleAt = (at: number) => buffer.toString("latin1", at, at + NEEDLE_BYTES);
    for (let at = 0; at < last; at += STRIDE) this.#add(needleAt(at));
    this.#add(needleAt(last >> 1));
    this.#add(needleAt(last));
  }

  #add(needle: string): void {
    if (needle.split("\0").length - 1 > MAX_ZEROS || !this.#isKept(needle)) return;
    this.#kept.add(needle);
    if (this.#kept.size <= MAX_NEEDLES) return;
    this.#oneOf *= 2;
    this.#kept = new Set([...this.#kept].filter((kept) => this.#isKept(kept)));
  }

  #isKept(needle: string): boolean {
    if (this.#oneOf === 1) return true;
    let hash = 0;
    for (let at = 0; at < needle.length; at++) {
      hash = (Math.imul(hash ^ needle.charCodeAt(at), 0x5bd1e995) ^ (hash >>> 13)) >>> 0;
    }
    return (hash >>> 3) % this.#oneOf === 0;
  }
}

/** Where the text of a JSON ends that begins at `from`: at its quotation mark, or at the end of the JSON. */
function endOfText(json: string, from: number): number {
  for (let at = json.indexOf('"', from); at >= 0; at = json.indexOf('"', at + 1)) {
    let slashes = 0;
    while (json[at - 1 - slashes] === "\\") slashes++;
    if (slashes % 2 === 0) return at;
  }
  return json.length;
}
