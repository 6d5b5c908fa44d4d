import { toRunStoreError } from "../../protocol/errors.ts";
import type { Batch } from "../../protocol/messages.ts";
import { BatchOrder } from "../../runs/batch-order.ts";
import { textArray } from "./binary-arrays.ts";
import type { Connection } from "./connection.ts";
import { toStored } from "./stored-ids.ts";
import {
  type Outcome,
  type PostgresOp,
  Transaction,
  type TransactionContext,
  UnknownThread,
} from "./transaction.ts";

/** How many threads are remembered to have a row. */
const MAX_KNOWN = 10_000;

/**
 * A connection for the operations of its share of the threads: one transaction after the other. Statements of
 * a pipeline do not wait for each other's success, so the next transaction is sent when the one before it
 * is committed.
 */
export class Lane {
  readonly #connection: Connection;
  readonly #context: TransactionContext;
  /**
   * The batches that this lane has committed its part of. The other lane may have failed with its part: then
   * the whole batch comes again, and what was committed is recognised.
   */
  readonly #order = new BatchOrder();
  /** Threads that have a row, as far as this instance knows. The oldest come first. */
  readonly #known = new Set<string>();
  #last: Promise<unknown> = Promise.resolve();

  constructor(connection: Connection, context: TransactionContext) {
    this.#connection = connection;
    this.#context = context;
  }

  /**
   * Commits this lane's part of a batch, which may be empty. Resolves with the outcomes: one, or one for each
   * operation when they do not succeed together.
   */
  commit(batch: Pick<Batch, "seq" | "after">, ops: readonly PostgresOp[]): Promise<Outcome[]> {
    return this.#inTurn(async () => {
      this.#order.expectNext(batch);
      const outcomes = ops.length === 0 ? [] : await this.#commit(ops);
      this.#order.committed(batch);
      return outcomes;
    });
  }

  /** Commits operations that belong to no batch. */
  commitApart(ops: readonly PostgresOp[]): Promise<Outcome[]> {
    return this.#inTurn(() => this.#commit(ops));
  }

  #inTurn(commit: () => Promise<Outcome[]>): Promise<Outcome[]> {
    const committed = this.#last.then(commit);
    this.#last = committed.catch(() => undefined);
    return committed;
  }

  async #commit(ops: readonly PostgresOp[]): Promise<Outcome[]> {
    try {
      return [await this.#inTransaction(ops)];
    } catch (cause) {
      const error = toRunStoreError(cause);
      if (error.retryable || ops.length === 1) throw error;
      // One of them cannot be stored, whatever the reason: the others are committed without it.
      const outcomes: Outcome[] = [];
      for (const op of ops) outcomes.push(await this.#alone(op));
      return outcomes;
    }
  }

  async #alone(op: PostgresOp): Promise<Outcome> {
    try {
      return await this.#inTransaction([op]);
    } catch (cause) {
      const { retryable, code, message } = toRunStoreError(cause);
      if (retryable) throw cause;
      const results = [{ ok: false as const, fault: { code, message } }];
      return { results, isNews: false, stopped: [], ended: [], stored: [], held: new Map() };
    }
  }

  async #inTransaction(ops: readonly PostgresOp[]): Promise<Outcome> {
    const attempt = async () => {
      await this.#addRows(ops);
      return this.#connection.use((send) => new Transaction(this.#context, send).run(ops));
    };
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof UnknownThread)) throw error;
      // A row was removed since: it is made again.
      this.#known.clear();
      return attempt();
    }
  }

  /**
   * Adds the rows of new threads, in a transaction of their own. Two hosts that claim the same new threads
   * would otherwise wait for each other while they hold locks.
   */
  async #addRows(ops: readonly PostgresOp[]): Promise<void> {
    const ids = new Set<string>();
    for (const { kind, threadId } of ops) {
      if (kind === "claim" && !this.#known.has(threadId)) ids.add(threadId);
    }
    if (ids.size === 0) return;
    const { begin, relaxed, addThreads, raiseNewThreads, commit } = this.#context.statements;
    const stored = textArray(Array.from(ids, toStored));
    await this.#connection.use((send) =>
      Promise.all([
        send(begin),
        send(relaxed),
        send(addThreads, [stored]),
        send(raiseNewThreads, [stored]),
        send(commit),
      ]),
    );
    for (const id of ids) this.#known.add(id);
    for (const id of this.#known) {
      if (this.#known.size <= MAX_KNOWN) break;
      this.#known.delete(id);
    }
  }
}
