import type {
  DeleteThreadRequest,
  EraseThreadsRequest,
  ForkThreadRequest,
  PurgeThreadsRequest,
  WriterNotice,
} from "../../../src/protocol/messages.ts";
import type { EraseResult, PurgeResult } from "../../../src/protocol/threads.ts";
import type { WriterContext } from "../runs/writer-context.ts";
import { Erasure, type Unproven } from "./erasure.ts";
import { ThreadFork } from "./fork-thread.ts";
import { Needles } from "./needles.ts";
import { Purge } from "./purge.ts";
import { beginRemoval, continueRemoval, type RemovalContext } from "./remove-thread.ts";
import type { Slices } from "./slices.ts";
import { prepareLendingStatements, prepareRemovalStatements } from "./statements.ts";
import { Tally } from "./tally.ts";

/** Long work of the writer: removing, forking and purging threads. */
export class Removals {
  readonly #context: RemovalContext;
  readonly #slices: Slices;
  /** The threads whose removal is under way in this writer. */
  /** How many forks are under way in this writer. */
  #forks = 0;
  readonly #running = new Map<string, Promise<void>>();

  /** What was erased and may still be in the files, by the target of the request. */
  readonly #unproven = new Map<string, Unproven>();
  readonly #purges = new Map<string, Purge>();
  readonly #notify: (notice: WriterNotice) => void;

  constructor(context: WriterContext, slices: Slices, notify: (notice: WriterNotice) => void) {
    this.#notify = notify;
    const { db } = context;
    const removal = { ...prepareRemovalStatements(db), ...prepareLendingStatements(db) };
    this.#context = { ...context, removal };
    this.#slices = slices;
  }

  /**
   * Removes a thread. The first transaction makes it unknown. A thread with few runs is gone with it.
   *
   * @throws {RunStoreError} `THREAD_NOT_FOUND`, `THREAD_ALREADY_RUNNING`
   */
  async delete(request: DeleteThreadRequest): Promise<null> {
    const { threadId } = request;
    const isGone = await this.#slices.one((isOver) => {
      beginRemoval(this.#context, request);
      return continueRemoval(this.#context, threadId, isOver);
    });
    if (!isGone) await this.#finish(threadId);
    return null;
  }

  /** @throws {RunStoreError} `THREAD_NOT_FOUND`, `THREAD_EXISTS`, `RUN_NOT_FOUND` */
  async fork(request: ForkThreadRequest): Promise<null> {
    this.#forks++;
    try {
      await new ThreadFork(this.#context, request).make(this.#slices);
    } catch (error) {
      // Removes the rows of a fork that was not completed. If this fails, the reaper tries it again.
      this.resume().catch(() => undefined);
      throw error;
    } finally {
      this.#forks--;
    }
    return null;
  }

  async purge(request: PurgeThreadsRequest): Promise<PurgeResult> {
    const { purgeId } = request;
    const purge = new Purge({
      ...{ context: this.#context, slices: this.#slices, request },
      onProgress: (done) => this.#notify({ kind: "purge", purgeId, done }),
    });
    this.#purges.set(purgeId, purge);
    try {
      return await purge.run();
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
    const unproven = this.#unproven.get(key) ?? { needles: new Needles(), removed: new Tally() };
    this.#unproven.set(key, unproven);
    const options = { context: this.#context, slices: this.#slices, request, unproven };
    const result = await new Erasure(options).run().catch((error: unknown) => {
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

  /** Carries on with removals that a dead process, or a failure, has left unfinished. */
  async resume(): Promise<void> {
    const { removal, config } = this.#context;
    if (removal.hasUnfinished.get() === undefined) return;
    const { instanceId } = config;
    // Without a fork under way, a fork of this instance is one of its dead writer.
    const [alive, dead] = this.#forks > 0 ? [instanceId, ""] : ["", instanceId];
    await this.#slices.one(() => removal.abandonForks.run(alive, dead));
    for (const threadId of removal.pendingRemovals.all()) await this.#finish(threadId);
  }

  #finish(threadId: string): Promise<void> {
    const running = this.#running.get(threadId);
    if (running !== undefined) return running;
    const removed = this.#slices
      .until((isOver) => continueRemoval(this.#context, threadId, isOver))
      .finally(() => this.#running.delete(threadId));
    this.#running.set(threadId, removed);
    return removed;
  }
}
