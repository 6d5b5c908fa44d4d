import type {
  DeleteThreadRequest,
  EraseThreadsRequest,
  ForkThreadRequest,
  PurgeThreadsRequest,
  WriterNotice,
} from "../../../src/protocol/messages.ts";
import type { ImportPart } from "../../../src/protocol/moved-threads.ts";
import type { EraseResult, PurgeResult } from "../../../src/protocol/threads.ts";
import type { WriterContext } from "../runs/writer-context.ts";
import { Erasure, type Unproven } from "./erasure.ts";
import { ThreadFork } from "./fork-thread.ts";
import { ThreadImports } from "./import-threads.ts";
import { Needles } from "./needles.ts";
import { Purge } from "./purge.ts";
import { beginRemoval, continueRemoval, type RemovalContext } from "./remove-thread.ts";
import type { Slices } from "./slices.ts";
import { prepareLendingStatements, prepareRemovalStatements } from "./statements.ts";
import { Tally } from "./tally.ts";

/** Long work of the writer: removing, forking, importing and purging threads. */
export class Removals {
  readonly #context: RemovalContext;
  readonly #slices: Slices;
  /** How many requests are under way. */
  #requests = 0;
  #isResuming = false;
  /** What was erased and may still be in the files, by the target of the request. */
  readonly #unproven = new Map<string, Unproven>();
  readonly #purges = new Map<string, Purge>();
  readonly #imports: ThreadImports;
  readonly #notify: (notice: WriterNotice) => void;

  constructor(context: WriterContext, slices: Slices, notify: (notice: WriterNotice) => void) {
    this.#notify = notify;
    const { db } = context;
    const removal = { ...prepareRemovalStatements(db), ...prepareLendingStatements(db) };
    this.#context = { ...context, removal };
    this.#slices = slices;
    this.#imports = new ThreadImports(this.#context, slices);
  }

  /**
   * Removes a thread. The first transaction makes it unknown. A thread with few runs is gone with it.
   *
   * @throws {RunStoreError} `THREAD_NOT_FOUND`, `THREAD_ALREADY_RUNNING`
   */
  delete(request: DeleteThreadRequest): Promise<null> {
    return this.#during(async () => {
      let isBegun = false;
      await this.#slices.until((isOver) => {
        if (!isBegun) beginRemoval(this.#context, request);
        isBegun = true;
        return continueRemoval(this.#context, request.threadId, isOver);
      });
      return null;
    });
  }

  /** @throws {RunStoreError} `THREAD_NOT_FOUND`, `THREAD_EXISTS`, `RUN_NOT_FOUND` */
  fork(request: ForkThreadRequest): Promise<null> {
    return this.#during(async () => {
      await new ThreadFork(this.#context, request).make(this.#slices);
      return null;
    });
  }

  /** @throws {RunStoreError} `THREAD_EXISTS`, `IMPORT_LOST` */
  import(part: ImportPart): Promise<null> {
    return this.#during(async () => {
      await this.#imports.write(part);
      return null;
    });
  }

  abandonImport(threadId: string, importId: string): Promise<null> {
    return this.#during(async () => {
      await this.#imports.abandon(threadId, importId);
      return null;
    });
  }

  /** Writes the touches that wait: see `Slices`. */
  async writeTouches(): Promise<null> {
    await this.#slices.writeTouches();
    return null;
  }

  async purge(request: PurgeThreadsRequest): Promise<PurgeResult> {
    const { purgeId } = request;
    const purge = new Purge({
      ...{ context: this.#context, slices: this.#slices.gentle, request },
      onProgress: (done) => this.#notify({ kind: "purge", purgeId, done }),
    });
    this.#purges.set(purgeId, purge);
    try {
      return await this.#during(() => purge.run());
    } finally {
      this.#purges.delete(purgeId);
    }
  }

  /**
   * @throws {RunStoreError} `THREAD_NOT_FOUND`, `THREAD_ALREADY_RUNNING`, `ERASE_INCOMPLETE`: then another
   * call goes on where this one has ended.
   */
  async erase(request: EraseThreadsRequest): Promise<EraseResult> {
    const key = JSON.stringify(request.target);
    const nothing = { needles: new Needles(), removed: new Tally(), isBlind: false };
    const unproven = this.#unproven.get(key) ?? nothing;
    this.#unproven.set(key, unproven);
    const options = { context: this.#context, slices: this.#slices, request, unproven };
    const erased = this.#during(() => new Erasure(options).run());
    const result = await erased.catch((error: unknown) => {
      if (unproven.needles.size === 0) this.#unproven.delete(key);
      throw error;
    });
    this.#unproven.delete(key);
    return result;
  }

  /** Ends a purge early. It then resolves with what it has removed. */
  endPurge(purgeId: string): void {
    this.#purges.get(purgeId)?.end();
  }

  /**
   * Carries on with removals that a dead instance, or a request that failed, has left unfinished. Removes what
   * they have left of forks and imports.
   */
  async resume(): Promise<void> {
    const { removal, config } = this.#context;
    if (this.#isResuming || removal.hasUnfinished.get() === undefined) return;
    this.#isResuming = true;
    try {
      const { instanceId } = config;
      // What this instance works on may be the work of a request that is under way.
      const own = this.#requests === 0 && this.#imports.isIdle ? 1 : 0;
      const left = await this.#slices.one(() => removal.takeOver.all({ instanceId, own }));
      for (const threadId of left) {
        await this.#slices.until((isOver) => continueRemoval(this.#context, threadId, isOver));
      }
    } finally {
      this.#isResuming = false;
    }
  }

  async #during<T>(work: () => Promise<T>): Promise<T> {
    this.#requests++;
    try {
      return await work();
    } catch (error) {
      // Then what the request has left, such as a part of a fork, is removed. If that fails, too, the reaper
      // tries it again.
      setImmediate(() => this.resume().catch(() => undefined));
      throw error;
    } finally {
      this.#requests--;
    }
  }
}
