/*
 * What is asked of the thread that works on a database file apart from any runner.
 */

export type FileRequest =
  | { readonly kind: "inspect" }
  | { readonly kind: "check"; readonly repair: boolean }
  | { readonly kind: "compact" }
  | Version1Request;

/** A step in making a new file for the version 1 runner. */
export interface Version1Request {
  readonly kind: "version-1";
  /** The file, until it is whole. */
  readonly partialPath: string;
  readonly step:
    | { readonly kind: "begin" }
    | { readonly kind: "add"; readonly runs: readonly Version1Run[] }
    /** Forget what was added of a thread. */
    | { readonly kind: "drop"; readonly threadId: string }
    /** The file gets its name. */
    | { readonly kind: "finish" };
}

export interface Version1Run {
  readonly threadId: string;
  readonly runId: string;
  /** JSON array. */
  readonly events: string;
  /** JSON of the RunAgentInput. */
  readonly input: string;
  /** Milliseconds since the epoch. */
  readonly endedAt: number;
}

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
