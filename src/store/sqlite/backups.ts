import { randomUUID } from "node:crypto";
import { rm } from "node:fs/promises";
import { RunStoreError, toRunStoreError } from "../../protocol/errors.ts";
import type { Logger } from "../../protocol/logger.ts";
import type { BackupNotice, BackupRequest, BackupSize } from "../../protocol/messages.ts";
import type { BackupOptions, BackupResult } from "../run-store.ts";
import type { BackupThread } from "./backup-thread.ts";

export interface BackupsOptions {
  readonly startThread: () => BackupThread;
  readonly logger: Logger;
}

/** Suffixes of the files that SQLite may leave when a copy was not finished. */
const LEFT_BEHIND = ["", "-journal", "-wal", "-shm"];

/** The backups under way, each in a thread of its own. */
export class Backups {
  readonly #options: BackupsOptions;
  /** By `BackupRequest.partialPath`, the name of the copy until it is whole. */
  readonly #running = new Map<
    string,
    { readonly thread: BackupThread; readonly done: Promise<unknown>; onProgress: OnProgress }
  >();
  #ended = false;

  constructor(options: BackupsOptions) {
    this.#options = options;
  }

  /**
   * Copies the database to `path`, an absolute path that must not exist. Rejects with a `RunStoreError`,
   * with the code `RUNNER_CLOSED` after `end`.
   */
  async make(path: string, { onProgress }: BackupOptions): Promise<BackupResult> {
    if (this.#ended) throw closed();
    const partialPath = `${path}.partial-${randomUUID().slice(0, 8)}`;
    const thread = this.#options.startThread();
    const done = this.#copy(thread, { path, partialPath });
    this.#running.set(partialPath, { thread, done, onProgress });
    try {
      const size = await done;
      this.#callProgress(onProgress, size);
      return { bytes: size.bytes };
    } finally {
      this.#running.delete(partialPath);
    }
  }

  /** Passes the progress of a backup on to its caller. */
  reportProgress({ partialPath, bytes, totalBytes }: BackupNotice): void {
    this.#callProgress(this.#running.get(partialPath)?.onProgress, { bytes, totalBytes });
  }

  /** Ends the backups under way. They reject with `RUNNER_CLOSED` and leave no files. */
  async end(): Promise<void> {
    this.#ended = true;
    const running = [...this.#running.values()];
    await Promise.allSettled(running.map(({ thread }) => thread.destroy()));
    await Promise.allSettled(running.map(({ done }) => done));
  }

  async #copy(thread: BackupThread, request: BackupRequest): Promise<BackupSize> {
    try {
      return await thread.request(request);
    } catch (error) {
      throw this.#ended ? closed() : toRunStoreError(error);
    } finally {
      // End the thread before its files are removed: the thread may still write to them.
      await thread.destroy();
      for (const suffix of LEFT_BEHIND) await this.#remove(request.partialPath + suffix);
    }
  }

  async #remove(path: string): Promise<void> {
    try {
      await rm(path, { force: true });
    } catch (error) {
      const code = error instanceof Error && "code" in error ? error.code : "";
      // No file can have such a name.
      if (code === "ENAMETOOLONG" || code === "ENOTDIR") return;
      this.#options.logger.warn({ err: error, path }, "a part of a backup could not be removed");
    }
  }

  #callProgress(onProgress: OnProgress, size: BackupSize): void {
    try {
      onProgress?.(size);
    } catch (error) {
      this.#options.logger.error({ err: error }, "onProgress of a backup failed");
    }
  }
}

type OnProgress = BackupOptions["onProgress"];

function closed(): RunStoreError {
  return new RunStoreError("RUNNER_CLOSED", "the runner was closed before the backup was made");
}
