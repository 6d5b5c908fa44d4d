import type { Logger } from "../../protocol/logger.ts";

/** A busy server's WAL is about 32 MiB. */
const WARN_BYTES = 128 * 1024 * 1024;

/** The size of the WAL, and the warning when it does not stop growing. */
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

  /** The size after a commit. */
  note(bytes: number): void {
    this.#bytes = bytes;
    if (bytes < WARN_BYTES) {
      this.#warned = false;
    } else if (!this.#warned) {
      this.#warned = true;
      this.#logger.warn(
        { dbPath: this.#dbPath, walBytes: bytes },
        "the WAL grows: a transaction of another program may have been open for long, which keeps SQLite from using the WAL's space again",
      );
    }
  }
}
