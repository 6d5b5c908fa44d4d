import type { Span } from "./pieces.ts";

/**
 * Texts of at least this length, in UTF-16 units, are found again in any value. Most of them are
 * attachments.
 */
const MIN_LONG = 4096;

/** A long text within a value. */
interface LongText {
  readonly at: number;
  readonly text: string;
}

/** A part of a text: stored in a log already, or new. */
export type KnownOrNew = Span | string;

/**
 * The positions of a thread's long texts in its logs. A long text is the text between two quotes or
 * commas of the JSON. So the data of an image is the same text in a message, in a state, and in a data
 * URL.
 */
export class LongTexts {
  readonly #spans = new Map<string, Span>();
  #size = 0;

  /** The remembered UTF-16 units. */
  get size(): number {
    return this.#size;
  }

  /** Splits `text` at the known long texts. */
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

  /** Notes the long texts in `text`, which is stored from the beginning of `span`. */
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
