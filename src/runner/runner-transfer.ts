import { RunStoreError } from "../protocol/errors.ts";
import { isVisible, type Scope } from "../protocol/scope.ts";
import type { RunStore } from "../store/run-store.ts";
import type { ThreadPage, ThreadQuery, ThreadStore } from "../store/thread-store.ts";
import type {
  ImportPart,
  MovedCursor,
  MovedPage,
  ThreadTransfer,
} from "../store/thread-transfer.ts";

const NO_THREADS: ThreadPage = { threads: [], nextCursor: null };

function isOthers(): RunStoreError {
  return new RunStoreError("THREAD_NOT_FOUND", "the thread belongs to another resource");
}

/** The store of a runner, for those who move threads. Every call has the scope of the call that made it. */
export class RunnerTransfer {
  readonly #transfer: ThreadTransfer;
  readonly #threads: ThreadStore;
  /** Null sees nothing: within `withResource` of another resource than the one that was asked for. */
  readonly #scope: Scope | null;

  /** @throws {RunStoreError} `TRANSFER_UNSUPPORTED` */
  constructor({ transfer, threads }: RunStore, scope: Scope | null) {
    if (transfer === undefined || threads === undefined) {
      throw new RunStoreError("TRANSFER_UNSUPPORTED", "the store of this runner moves no threads");
    }
    this.#transfer = transfer;
    this.#threads = threads;
    this.#scope = scope;
  }

  /** See `ThreadStore.list`. */
  async list(query: ThreadQuery): Promise<ThreadPage> {
    if (this.#scope === null) return NO_THREADS;
    return this.#threads.list(query, this.#scope);
  }

  /** See `ThreadTransfer.read`. */
  async read(threadId: string, cursor: MovedCursor | null): Promise<MovedPage | null> {
    if (this.#scope === null) return null;
    return this.#transfer.read(threadId, cursor, this.#scope);
  }

  /**
   * See `ThreadTransfer.write`.
   *
   * @throws {RunStoreError} also `THREAD_NOT_FOUND`: the thread is that of another resource than the scope's.
   */
  async write(part: ImportPart): Promise<void> {
    if (this.#scope === null || !isVisible(this.#scope, part.thread.resourceId)) throw isOthers();
    await this.#transfer.write(part);
  }

  /** See `ThreadTransfer.abandon`. */
  abandon(threadId: string, importId: string): Promise<void> {
    return this.#transfer.abandon(threadId, importId);
  }

  /** See `ThreadStore.delete`. */
  async delete(threadId: string): Promise<void> {
    if (this.#scope === null) throw isOthers();
    await this.#threads.delete(threadId, this.#scope);
  }

  /** See `ThreadTransfer.flush`. */
  flush(): Promise<void> {
    return this.#transfer.flush();
  }
}
