import type { Span } from "./pieces.ts";

/** Texts of this length, in UTF-16 units, are known again wherever they come: attachments, above all. */
const MIN_LONG = 4096;

/** A long text within a value. */
interface LongText {
  readonly at: number;
  readonly text: string;
}

/** A part of a text: stored in a log already, or new. */
export type KnownOrNew = Span | string;

/**
 * Where the long texts of a thread are stored. A long text is what stands between two quotes or commas of
 * the JSON. So the data of an image is the same text in a message, in a state, and in a data URL.
 */
export class LongTexts {
  readonly #spans = new Map<string, Span>();
  #size = 0;

  /** UTF-16 units that are remembered. */
  get size(): number {
    return this.#size;
  }

  /** Cuts `text` at the long texts that are known. */
  split(text: string): readonly KnownOrNew[] {
    if (text.length < MIN_LONG || this.#spans.size === 0) return [text];
    const parts: KnownOrNew[] = [];
    let done = 0;
    for (const { at, text: long } of longTextsIn(text)) {
      const span = this.#spans.get(long);
      if (span === undefined) continue;
      parts.push(text.slice(done, at), span);
      done = at + long.length;
    }
    parts.push(text.slice(done));
    return parts.filter((part) => part.length > 0);
  }

  /** Learns the long texts of `text`, which is stored at the beginning of `span`. */
  learn(text: string, { log, from }: Span): void {
    for (const { at, text: long } of longTextsIn(text)) {
      if (!this.#spans.has(long)) this.#size += long.length;
      this.#spans.set(long, { log, from: from + at, length: long.length });
    }
  }
}

function* longTextsIn(text: string): Generator<LongText> {
  if (text.length < MIN_LONG) return;
  let at = 0;
  for (const part of text.split(/[",]/)) {
    if (part.length >= MIN_LONG) yield { at, text: part };
    at += part.length + 1;
  }
}
