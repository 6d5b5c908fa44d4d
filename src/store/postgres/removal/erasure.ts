import { setTimeout as delay } from "node:timers/promises";
import { RunStoreError } from "../../../protocol/errors.ts";
import type { EraseThreadsRequest } from "../../../protocol/messages.ts";
import { isVisible } from "../../../protocol/scope.ts";
import type { EraseResult } from "../../../protocol/threads.ts";
import { textArray } from "../binary-arrays.ts";
import type { Connection, Send } from "../connection.ts";
import { fromStored, toStored } from "../stored-ids.ts";
import { isKnown } from "../thread-row.ts";
import { oldestSnapshotAge, tablesOf, vacuum } from "./dead-rows.ts";
import {
  type Counts,
  continueRemoval,
  isRemoved,
  isRunning,
  type LockedThread,
  lockThread,
  markRemoved,
  type RemovalContext,
  threadNotFound,
} from "./remove-thread.ts";

/** Milliseconds for which an erasure waits until no transaction can see the removed rows any more. */
const WAIT_MS = 5000;
const LOOK_MS = 100;

export interface ErasureOptions {
  readonly context: RemovalContext;
  readonly request: EraseThreadsRequest;
  /** For statements that may take long. */
  readonly connection: Connection;
  readonly schema: string;
  /** Threads whose run an earlier call has found: they may be unknown by now, and have journals. */
  readonly begun: ReadonlySet<string>;
}

/**
 * Removes threads with their journals and every mention of them, looks whether any table still has a row of them,
 * and then has PostgreSQL remove the dead versions of the rows from its tables.
 *
 * Nothing here reaches the write-ahead log, its archives, replicas and backups.
 */
export class Erasure {
  readonly #options: ErasureOptions;
  readonly #removed: Counts = { threads: 0, runs: 0, bytes: 0 };
  /** The threads of the request that a run holds. */
  readonly running = new Set<string>();

  constructor(options: ErasureOptions) {
    this.#options = options;
  }

  /** @throws {RunStoreError} `THREAD_NOT_FOUND`, `THREAD_ALREADY_RUNNING`, `ERASE_INCOMPLETE` */
  async run(): Promise<EraseResult> {
    const threads = await this.#threads();
    await this.#expectIdle(threads);
    for (const threadId of threads) await this.#removeThread(threadId);
    const { onChanged } = this.#options.context;
    onChanged();
    await this.#forgetOrigins(threads);
    await this.#expectNone(threads);
    const verified = await this.#removeDeadRows();
    const { threads: count, runs } = this.#removed;
    return { threads: count, runs, verified };
  }

  async #threads(): Promise<readonly string[]> {
    const { context, request, begun, connection } = this.#options;
    const { threadId, resourceId } = request.target;
    if (threadId !== undefined) {
      const row = await context.slices.one((send) => lockThread(context, send, threadId));
      // An earlier call has ended its only run: it is unknown, and traces of it may be left.
      const isBegun = begun.has(threadId) && (row === null || isEmpty(row));
      if (isBegun || this.#mayErase(row)) return [threadId];
      throw threadNotFound();
    }
    const { threadsOfResource } = context.statements;
    const { rows } = await connection.use((send) =>
      send(threadsOfResource, [toStored(resourceId)]),
    );
    const found = rows as { readonly thread_id: string }[];
    return [...new Set([...found.map(({ thread_id: id }) => fromStored(id)), ...begun])];
  }

  #mayErase(row: LockedThread | null): boolean {
    if (row === null || !isVisible(this.#options.request.scope, row.resourceId ?? null)) {
      return false;
    }
    return row.unfinished === "removal" || isKnown(row);
  }

  /** Nothing is removed when any of the threads has a run. The caller ends that run, and calls again. */
  async #expectIdle(threads: readonly string[]): Promise<void> {
    const { context } = this.#options;
    for (const threadId of threads) {
      const row = await context.slices.one((send) => lockThread(context, send, threadId));
      if (row !== null && (await this.#isRunning(row))) this.running.add(threadId);
    }
    if (this.running.size === 0) return;
    throw new RunStoreError("THREAD_ALREADY_RUNNING", "a run holds the thread");
  }

  #isRunning(row: LockedThread): Promise<boolean> {
    const { context, request } = this.#options;
    const isHeld = request.heldThreads.includes(row.threadId);
    const endedClaims = isHeld ? 0 : request.endedClaims;
    return isRunning(context, row, { endedClaims });
  }

  async #removeThread(threadId: string): Promise<void> {
    const { context } = this.#options;
    let slice: Counts = { threads: 0, runs: 0, bytes: 0 };
    let isBegun = false;
    let madeAt: string | null = null;
    await context.slices.until(
      async (send) => {
        slice = { threads: 0, runs: 0, bytes: 0 };
        const row = await lockThread(context, send, threadId);
        if (row === null || (isBegun && isRemoved(row, madeAt))) {
          // Whoever has removed the thread leaves journals for the followers of its runs.
          await send(context.statements.deleteRemovedJournal, [toStored(threadId)]);
          return true;
        }
        ({ madeAt } = row);
        const goesOn = isBegun && row.unfinished === "removal";
        if (!goesOn && !(await this.#begin(send, row, slice))) return true;
        return continueRemoval(context, send, threadId, slice);
      },
      {
        afterSlice: () => {
          isBegun = true;
          this.#removed.threads += slice.threads;
          this.#removed.runs += slice.runs;
        },
      },
    );
  }

  /** False for a thread that is not to be erased: somebody has made it anew. */
  async #begin(send: Send, row: LockedThread, slice: Counts): Promise<boolean> {
    const { context, begun } = this.#options;
    const { threadId } = row;
    if (!this.#mayErase(row) && !(begun.has(threadId) && isEmpty(row))) return false;
    if (await this.#isRunning(row)) {
      this.running.add(threadId);
      throw new RunStoreError("THREAD_ALREADY_RUNNING", "a run holds the thread");
    }
    if (!isEmpty(row)) slice.threads++;
    if (row.unfinished !== "removal") await markRemoved(context, send, threadId);
    await send(context.statements.deleteJournal, [toStored(threadId)]);
    return true;
  }

  /** Forks of an erased thread stay, and do not say any more where they come from. */
  async #forgetOrigins(threads: readonly string[]): Promise<void> {
    if (threads.length === 0) return;
    const { slices, statements } = this.#options.context;
    // As `ThreadFork` writes them.
    const beginnings = threads.map((threadId) => `${JSON.stringify({ threadId }).slice(0, -1)},`);
    await slices.one((send) => send(statements.forgetOrigins, [textArray(beginnings)]));
  }

  /** Looks for rows of the threads in every table of the schema, also in those that this code does not know. */
  async #expectNone(threads: readonly string[]): Promise<void> {
    const { connection, schema, context } = this.#options;
    const ids = textArray(threads.map(toStored));
    const left = await connection.use(async (send) => {
      let rows = 0;
      for (const table of await tablesOf(send, schema)) {
        if (!table.hasThreads) continue;
        const text = `SELECT count(*) AS rows FROM ${table.name} WHERE thread_id = ANY($1::text[])`;
        rows += (await send({ name: "", text }, [ids])).rows[0]?.rows as number;
      }
      return rows;
    });
    if (left === 0) return;
    // A run may have made one of the threads again.
    for (const threadId of threads) {
      const row = await context.slices.one((send) => lockThread(context, send, threadId));
      if (isKnown(row)) return;
    }
    throw new RunStoreError(
      "ERASE_INCOMPLETE",
      `${left} rows of what was erased are still there: call it again`,
    );
  }

  /** Whether no dead version of a removed row is left in the tables. */
  async #removeDeadRows(): Promise<boolean> {
    const { connection, schema, context } = this.#options;
    // The transactions that have removed the rows are older than this one.
    const { rows } = await context.slices.one((send) =>
      send({ name: "", text: "SELECT pg_current_xact_id()::text AS id" }),
    );
    const id = rows[0]?.id as string;
    const until = performance.now() + WAIT_MS;
    return connection.use(async (send) => {
      // A snapshot that is older may still read the removed rows: PostgreSQL then keeps them.
      while ((await oldestSnapshotAge(send, id)) > 0) {
        if (performance.now() > until) break;
        await delay(LOOK_MS);
      }
      const isHindered = (await oldestSnapshotAge(send, id)) > 0;
      return (await vacuum(send, await tablesOf(send, schema))) && !isHindered;
    });
  }
}

/** Whether the row is that of a thread of which nothing was stored. */
function isEmpty({ runs, claim, unfinished }: LockedThread): boolean {
  return runs === 0 && claim === null && unfinished === null;
}
