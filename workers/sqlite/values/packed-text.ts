import { deflateRaw, inflateRaw } from "../../../src/native/native-calls.ts";
import { RunStoreError } from "../../../src/protocol/errors.ts";

/** A text as it is stored: deflated, or as it is where that is not shorter. */
export type StoredText = string | Uint8Array;

/** UTF-16 units of the shortest text that is deflated. */
const MIN_DEFLATED = 128;

/**
 * UTF-16 units of the longest text that is deflated: some milliseconds of the writer. Most of the longer texts
 * are attachments, which hardly get shorter.
 */
const MAX_DEFLATED = 128 * 1024;

/** With a `dictionary`, what the text has in common with it takes almost no space. */
export function packText(text: string, dictionary?: Uint8Array): StoredText {
  if (text.length < MIN_DEFLATED || text.length > MAX_DEFLATED) return text;
  const deflated = deflateRaw(text, dictionary);
  return deflated.length < text.length ? deflated : text;
}

/** The text, or null if it is none: another program has written it, or the file is damaged. */
export function unpackText(stored: unknown, dictionary?: Uint8Array): string | null {
  if (typeof stored === "string") return stored;
  if (!(stored instanceof Uint8Array)) return null;
  try {
    return inflateRaw(stored, dictionary).toString();
  } catch (error) {
    // This thread is about to be terminated: the value is not damaged.
    if (error instanceof RunStoreError) throw error;
    return null;
  }
}
