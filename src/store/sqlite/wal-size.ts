import type { Logger } from "../../protocol/logger.ts";

/** The size for a warning. The WAL of a busy server is about 32 MiB. */
const WARN_BYTES = 128 * 1024 * 1024;

/** The size of the WAL. Logs a warning when the WAL gets unusually large. */
export class WalSize {
  readonly #dbPath: string;
  readonly #logger: Logger;
  #bytes = 0;
  #warned = false;

  constructor(dbPath: string, logger: Logger) {
    this.#dbPath = dbPath;
    this.#logger = logger;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Takes the size after a commit, in bytes. */
  note(bytes: number): void {
    this.#bytes = bytes;
    if (bytes < WARN_BYTES) {
      this.#warned = false;
    } else if (!this.#warned) {
      this.#warned = true;
      this.#logger.warn(
        { dbPath: this.#dbPath, walBytes: bytes },
        "the WAL grows: SQLite cannot reuse its space while a transaction of another program stays open; look for a program that keeps the database open, and end its transaction",
      );
    }
  }
}
