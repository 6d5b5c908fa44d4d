import type {
  DeleteThreadRequest,
  EraseThreadsRequest,
  ForkThreadRequest,
  PurgeThreadsRequest,
} from "../../../protocol/messages.ts";
import type { ImportPart, MovedPage, MovedPageRequest } from "../../../protocol/moved-threads.ts";
import type { EraseResult, PurgeResult } from "../../../protocol/threads.ts";
import type { PurgeWatch, ThreadWrites } from "../../queued/backend.ts";
import type { Connection } from "../connection.ts";
import { fromStored } from "../stored-ids.ts";
import { Erasure } from "./erasure.ts";
import { ThreadExports } from "./export-threads.ts";
import { ThreadFork } from "./fork-thread.ts";
import { ThreadImports } from "./import-threads.ts";
import { Purge } from "./purge.ts";
import {
  beginRemoval,
  continueRemoval,
  finishRemoval,
  isRemoved,
  lockThread,
  type RemovalContext,
} from "./remove-thread.ts";
import { sweepThread } from "./shorten-thread.ts";

export interface RemovalsOptions {
  readonly context: RemovalContext;
  /** For statements that may take long. */
  readonly patientConnection: Connection;
  readonly schema: string;
}

/** Long work of a `PostgresBackend`: removing, forking, moving and purging threads. */
export class Removals implements ThreadWrites {
  readonly #options: RemovalsOptions;
  readonly #context: RemovalContext;
  readonly #imports: ThreadImports;
  readonly #exports: ThreadExports;
  /** How many requests are under way. */
  #requests = 0;
  #isResuming = false;
  /** By target of an erasure that found runs: the threads of these runs. */
  readonly #begun = new Map<string, ReadonlySet<string>>();

  constructor(options: RemovalsOptions) {
    this.#options = options;
    this.#context = options.context;
    this.#imports = new ThreadImports(options.context);
    this.#exports = new ThreadExports(options.context);
  }

  /** Removes a thread. The first transaction makes it unknown. A thread with few runs is gone with it. */
  deleteThread(request: DeleteThreadRequest): Promise<void> {
    const { threadId } = request;
    const context = this.#context;
    return this.#during(async () => {
      let isBegun = false;
      let madeAt: string | null = null;
      await context.slices.until(
        async (send) => {
          const row = await lockThread(context, send, threadId);
          if (isBegun && isRemoved(row, madeAt)) return true;
          madeAt = row?.madeAt ?? null;
          await beginRemoval(context, send, row, request);
          return continueRemoval(context, send, threadId);
        },
        {
          afterSlice: () => {
            if (!isBegun) context.onChanged();
            isBegun = true;
          },
        },
      );
      context.onChanged();
    });
  }

  forkThread(request: ForkThreadRequest): Promise<void> {
    return this.#during(() => new ThreadFork(this.#context, request).make());
  }

  /** A page of a thread for another store. Null for an unknown thread. */
  export(request: MovedPageRequest): Promise<MovedPage | null> {
    return this.#exports.read(request);
  }

  import(part: ImportPart): Promise<void> {
    return this.#during(() => this.#imports.write(part));
  }

  abandonImport(threadId: string, importId: string): Promise<void> {
    return this.#during(() => this.#imports.abandon(threadId, importId));
  }

  purge(request: PurgeThreadsRequest, { onProgress, signal }: PurgeWatch): Promise<PurgeResult> {
    const purge = new Purge({ context: this.#context, request, onProgress, signal });
    return this.#during(() => purge.run());
  }

  async erase(request: EraseThreadsRequest): Promise<EraseResult> {
    const { patientConnection: connection, schema } = this.#options;
    const key = JSON.stringify([request.target, request.scope]);
    const begun = this.#begun.get(key) ?? new Set();
    const erasure = new Erasure({ context: this.#context, request, connection, schema, begun });
    try {
      const result = await this.#during(() => erasure.run());
      this.#begun.delete(key);
      return result;
    } catch (error) {
      if (erasure.running.size > 0) this.#begun.set(key, new Set([...begun, ...erasure.running]));
      throw error;
    }
  }

  /**
   * Carries on with work that a dead host, or a request that failed, has left unfinished. Removes what they have
   * left of forks and imports.
   */
  async resume(): Promise<void> {
    if (this.#isResuming) return;
    this.#isResuming = true;
    try {
      await this.#resume();
    } finally {
      this.#isResuming = false;
    }
  }

  async #resume(): Promise<void> {
    const { slices, statements, instanceId } = this.#context;
    // What this host works on may be the work of a request that is under way.
    const takesOwn = this.#requests === 0 && this.#imports.isIdle;
    const { rows } = await slices.one((send) => send(statements.takeOver, [instanceId, takesOwn]));
    type Row = { readonly thread_id: string; readonly unfinished: string };
    for (const { thread_id, unfinished } of rows as Row[]) {
      const threadId = fromStored(thread_id);
      if (unfinished === "sweep") await sweepThread(this.#context, threadId);
      else await finishRemoval(this.#context, threadId);
    }
  }

  async #during<T>(work: () => Promise<T>): Promise<T> {
    this.#requests++;
    try {
      return await work();
    } finally {
      this.#requests--;
    }
  }
}
