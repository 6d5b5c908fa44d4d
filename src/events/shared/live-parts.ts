import type { Span } from "./pieces.ts";

/** A part of a text, from its beginning in UTF-16 units. */
export interface Part {
  readonly from: number;
  readonly to: number;
}

/**
 * By default, unused text of at most this length between two used parts is kept: separate rows would take more
 * space.
 */
const MAX_GAP = 64;

/** The parts of logs that stored runs use. */
export class LiveParts {
  readonly #parts = new Map<number, Part[]>();
  readonly #maxGap: number;
  #isSorted = true;

  constructor(maxGap = MAX_GAP) {
    this.#maxGap = maxGap;
  }

  add({ log, from, length }: Span): void {
    const parts = this.#parts.get(log) ?? [];
    const part = { from, to: from + length };
    const last = parts.at(-1);
    // Most runs use the same parts as the run before them.
    if (last !== undefined && last.from === part.from) {
      parts[parts.length - 1] = last.to > part.to ? last : part;
    } else {
      parts.push(part);
    }
    this.#parts.set(log, parts);
    this.#isSorted = false;
  }

  /** The used parts of the text at the position `at` of `log`, in order and without overlap. */
  of(log: number, at: number, length: number): readonly Part[] {
    this.#sort();
    const found: Part[] = [];
    for (const { from, to } of this.#parts.get(log) ?? []) {
      const part = { from: Math.max(from - at, 0), to: Math.min(to - at, length) };
      if (part.from < part.to) found.push(part);
    }
    return found;
  }

  /** Sorts the parts, and joins parts that overlap or almost touch. */
  #sort(): void {
    if (this.#isSorted) return;
    this.#isSorted = true;
    for (const [log, parts] of this.#parts) {
      const joined: Part[] = [];
      for (const part of parts.sort((a, b) => a.from - b.from)) {
        const last = joined.at(-1);
        if (last === undefined || part.from > last.to + this.#maxGap) joined.push(part);
        else joined[joined.length - 1] = { from: last.from, to: Math.max(last.to, part.to) };
      }
      this.#parts.set(log, joined);
    }
  }
}
