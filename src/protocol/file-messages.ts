/*
 * What is asked of the thread that works on a database file apart from any runner.
 */

export type FileRequest =
  | { readonly kind: "inspect" }
  | { readonly kind: "check"; readonly repair: boolean }
  | { readonly kind: "compact" };

/** What is known of a database file without reading its threads. */
export interface DatabaseFacts {
  /** 0 for a file without tables. */
  readonly schemaVersion: number;
  /** The schema version that this release reads and writes. */
  readonly currentVersion: number;
  /** Of the database, without its WAL. */
  readonly bytes: number;
  /** Bytes in pages that are free, and will be used again. */
  readonly freeBytes: number;
  /** Whether free pages can be given back step by step. If not, only `compactDatabase` makes the file smaller. */
  readonly shrinks: boolean;
  /** Processes that have the file open, the dead ones included that were not found dead yet. */
  readonly instances: number;
}

export interface DatabaseCheck {
  /** What is wrong, in English. Empty for a file that is as it should be. */
  readonly problems: readonly string[];
  /** What was repaired. */
  readonly repaired: readonly string[];
}
