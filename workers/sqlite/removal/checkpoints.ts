import type { Database } from "better-sqlite3";
import type { WriterNotice } from "../../../src/protocol/messages.ts";
import { concernsWholeFile } from "../database/fault.ts";

/** Pages that wait in the WAL, from which on they are moved into the database. */
const DUE_PAGES = 1000;

/**
 * The size of the WAL with which all of its pages are moved, so that the next commit begins it anew. That commit
 * syncs, so it should be rare. From 32 MiB on, SQLite makes checkpoints within commits: see `open.ts`.
 */
const RESTART_BYTES = 20 * 1024 * 1024;

/** What the writer moves itself, at most: so little takes little time. */
const FEW_BYTES = 1600 * 1024;

/** From this size of the WAL on, the writer moves all of it, whatever time that takes. */
const MAX_BYTES = 30 * 1024 * 1024;

/** Asks for checkpoints in another thread. */
export class CheckpointRequests {
  readonly #notify: (notice: WriterNotice) => void;
  #answer: ((isDone: boolean) => void) | null = null;
  #asked: Promise<boolean> | null = null;

  constructor(notify: (notice: WriterNotice) => void) {
    this.#notify = notify;
  }

  /** Resolves with whether a checkpoint was made. */
  ask(): Promise<boolean> {
    this.#asked ??= new Promise((resolve) => {
      this.#answer = resolve;
      this.#notify({ kind: "checkpoint" });
    });
    return this.#asked;
  }

  /** The checkpoint that was asked for is over. */
  answer(isDone: boolean): void {
    this.#answer?.(isDone);
    this.#answer = null;
    this.#asked = null;
  }
}

/**
 * Moves the WAL into the database while long work fills it. Otherwise a commit would do it at once for thousands
 * of pages, and hold up all runs meanwhile.
 *
 * Another thread does most of it. While batches are written all the time, it never finds the whole WAL moved,
 * so the WAL would only grow: the writer moves the few pages that are left, between two commits.
 */
export class Checkpoints {
  readonly #db: Database;
  readonly #requests: CheckpointRequests;

  constructor(db: Database, requests: CheckpointRequests) {
    this.#db = db;
    this.#requests = requests;
  }

  /**
   * Called between two transactions of long work, which then waits. `before` is called before and after the
   * wait: it throws when the file is closed by then.
   */
  async ifDue(before: () => void): Promise<void> {
    before();
    if (this.#waiting.pages >= DUE_PAGES) await this.#make(before, RESTART_BYTES);
  }

  /** Moves all pages now, so that the file gets smaller. `before`: see `ifDue`. */
  async now(before: () => void): Promise<void> {
    before();
    const { pages } = this.#waiting;
    if (pages > FEW_BYTES / this.#pageBytes) await this.#make(before, 0);
    else if (pages > 0) this.#move();
  }

  /** Moves the last pages, too, if the WAL has so many bytes. */
  async #make(before: () => void, wholeBytes: number): Promise<void> {
    const isDone = await this.#requests.ask();
    before();
    const { pages, all } = this.#waiting;
    const walBytes = all * this.#pageBytes;
    const isFew = pages * this.#pageBytes <= FEW_BYTES;
    if (!isDone || (isFew && walBytes >= wholeBytes) || walBytes >= MAX_BYTES) this.#move();
  }

  /**
   * A failure is ignored, as SQLite ignores it after a commit: the WAL still has everything. The disk may have no
   * room to let the database grow, while the WAL is long enough already.
   */
  #move(): void {
    try {
      this.#db.pragma("wal_checkpoint(PASSIVE)");
    } catch (error) {
      if (!concernsWholeFile(error)) throw error;
    }
  }

  get #pageBytes(): number {
    return Number(this.#db.pragma("page_size", { simple: true }));
  }

  /** Pages of the WAL that are not in the database, and all its pages. Negative for a database in memory. */
  get #waiting(): { readonly pages: number; readonly all: number } {
    const [wal] = this.#db.pragma("wal_checkpoint(NOOP)") as WalState[];
    const { log = 0, checkpointed = 0 } = wal ?? {};
    return { pages: log - checkpointed, all: log };
  }
}

/** Pages in the WAL, and how many of them are in the database. -1 for a database in memory. */
interface WalState {
  readonly log: number;
  readonly checkpointed: number;
}
