/** UTF-16 units of texts that are remembered. */
const MAX_LENGTH = 1024 * 1024;

/**
 * Remembers texts of logs: each snapshot of a talk is made of the texts of the snapshots before it. What is in a
 * log never changes, once it is committed, and no other log gets the same number.
 */
export class KnownChunks {
  readonly #texts = new Map<number, Map<number, string>>();
  #length = 0;

  /** The text of so many UTF-16 units at a position of a log, if it is known. */
  get(log: number, at: number, length: number): string | undefined {
    const text = this.#texts.get(log)?.get(at);
    return text?.length === length ? text : undefined;
  }

  add(log: number, at: number, text: string): void {
    if (this.#length + text.length > MAX_LENGTH) {
      this.#texts.clear();
      this.#length = 0;
    }
    const ofLog = this.#texts.get(log) ?? new Map<number, string>();
    this.#texts.set(log, ofLog);
    this.#length += text.length - (ofLog.get(at)?.length ?? 0);
    ofLog.set(at, text);
  }
}
