import { randomUUID } from "node:crypto";
import { rm } from "node:fs/promises";
import { resolve } from "node:path";
import type { FileRequest, Version1Request, Version1Run } from "../../protocol/file-messages.ts";
import type { WorkerPool } from "../worker-threads/worker-pool.ts";
import { fileThread } from "./ask-file.ts";

/** UTF-16 units of JSON that are written in one transaction. */
const BATCH_LENGTH = 1024 * 1024;

/** Writes a new file for the version 1 runner. A file that is not finished leaves nothing. */
export class Version1Writer {
  readonly #partialPath: string;
  readonly #thread: WorkerPool<FileRequest>;
  #waiting: Version1Run[] = [];
  #length = 0;

  private constructor(path: string) {
    this.#partialPath = `${path}.partial-${randomUUID()}`;
    this.#thread = fileThread(path);
  }

  /** @throws {RunStoreError} `BACKUP_EXISTS`: there is such a file. The codes of a file that cannot be written. */
  static async begin(path: string): Promise<Version1Writer> {
    const writer = new Version1Writer(resolve(path));
    try {
      await writer.#ask({ kind: "begin" });
      return writer;
    } catch (error) {
      await writer.end();
      throw error;
    }
  }

  /** Runs of a thread come in order. */
  async add(run: Version1Run): Promise<void> {
    this.#waiting.push(run);
    this.#length += run.events.length + run.input.length;
    if (this.#length >= BATCH_LENGTH) await this.#flush();
  }

  /** Forgets the runs of a thread. */
  async drop(threadId: string): Promise<void> {
    await this.#flush();
    await this.#ask({ kind: "drop", threadId });
  }

  /** The file gets its name. */
  async finish(): Promise<void> {
    await this.#flush();
    await this.#ask({ kind: "finish" });
  }

  /** Ends the thread, and removes a file that was not finished. Called in any case. */
  async end(): Promise<void> {
    await this.#thread.destroy();
    for (const suffix of ["", "-journal"]) await rm(this.#partialPath + suffix, { force: true });
  }

  async #flush(): Promise<void> {
    const runs = this.#waiting;
    this.#waiting = [];
    this.#length = 0;
    if (runs.length > 0) await this.#ask({ kind: "add", runs });
  }

  async #ask(step: Version1Request["step"]): Promise<void> {
    await this.#thread.request({ kind: "version-1", partialPath: this.#partialPath, step });
  }
}
