import { createHash } from "node:crypto";
import type { ExportRecord } from "./records.ts";

/** The checksum over the records of a thread. */
export class RecordsChecksum {
  readonly #hash = createHash("sha256");

  /** Adds a record. `texts`: the JSON of its long values, which `record` is given without. */
  add(record: Partial<ExportRecord>, ...texts: readonly string[]): void {
    this.#hash.update(JSON.stringify(record));
    for (const text of texts) this.#hash.update("\n").update(text);
    this.#hash.update("\n\n");
  }

  /** Hexadecimal. No record may be added afterwards. */
  end(): string {
    return this.#hash.digest("hex");
  }
}
