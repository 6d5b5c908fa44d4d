import { RunStoreError } from "../../protocol/errors.ts";
import type { OpResult } from "../../protocol/messages.ts";
import type { RunKey } from "../../protocol/run-key.ts";
import { textArray } from "./binary-arrays.ts";
import type { Send } from "./connection.ts";
import { sqlStateOf } from "./driver.ts";
import type { KnownMessages } from "./known-messages.ts";
import { type OperationContext, Operations, type PostgresOp } from "./operations.ts";
import { assumedValues, keyValues, serverOf } from "./row-writes.ts";
import type { ThreadColumns } from "./statements.ts";
import { fromStored, toStored } from "./stored-ids.ts";
import { type StoredMessages, ThreadMessages } from "./thread-messages.ts";
import { type ThreadRow, threadRowOf } from "./thread-row.ts";
import type { ThreadTouches } from "./threads/thread-touches.ts";

export interface TransactionContext extends OperationContext {
  readonly messages: KnownMessages;
  readonly touches: ThreadTouches;
  /** See `Hosts.newRow`. */
  readonly ownHost: () => readonly unknown[] | null;
}

/** A thread is not as this instance thought. */
export class AssumedWrongly extends Error {}

/** What a transaction has done, for those who hear of it when it is committed. */
export interface Outcome {
  readonly results: readonly OpResult[];
  /** Whether another instance may want to look. */
  readonly isNews: boolean;
  /** Owners of runs that were asked to stop. */
  readonly stopped: readonly string[];
  /** Ended runs whose journal is kept for followers. */
  readonly ended: readonly RunKey[];
  /** Threads of which a run was stored. */
  readonly stored: readonly string[];
  /** The threads of the operations, as they are now. */
  readonly threads: readonly ThreadRow[];
}

/** What `saveThreads` and `lockAssumed` fail with. */
const DIVISION_BY_ZERO = "22012";

/**
 * One transaction: applies operations to the rows of their threads, and writes the rows back. So the rules of
 * `src/runs` decide here, and not in SQL.
 *
 * The rows are read and locked first: two round trips, however many operations there are. Rows that
 * this instance knows from its last transaction may be assumed instead. They are then written on condition that
 * they are still the same, in one round trip.
 */
export class Transaction {
  readonly #context: TransactionContext;
  readonly #send: Send;
  readonly #rows = new Map<string, ThreadRow>();
  /** By thread, as far as they are known. */
  readonly #messages = new Map<string, ThreadMessages>();
  /** The answers under way. Each is awaited: one that fails later would be an unhandled rejection. */
  readonly #sent: Promise<unknown>[] = [];

  constructor(context: TransactionContext, send: Send) {
    this.#context = context;
    this.#send = send;
  }

  /**
   * `assumed` has the rows of all threads of `ops`, or is null. Of threads that are claimed, `KnownMessages` then
   * has the messages.
   *
   * @throws {AssumedWrongly} one of `assumed` is not as it was.
   */
  async run(ops: readonly PostgresOp[], assumed: readonly ThreadRow[] | null): Promise<Outcome> {
    const { messages, statements } = this.#context;
    try {
      if (assumed === null) await this.#load(ops);
      else this.#assume(assumed);
      const rows = this.#rows;
      const messagesOf = (row: ThreadRow) => this.#messages.get(row.threadId);
      const operations = new Operations(this.#context, this.#send, { rows, messagesOf });
      const results: OpResult[] = [];
      for (const op of ops) results.push(await operations.apply(op));
      await this.#save(operations, assumed !== null);
      const { isNews, stopped, ended, stored } = operations;
      const threads = [...rows.values()];
      for (const { threadId, epoch } of threads) {
        const known = this.#messages.get(threadId);
        if (known === undefined) continue;
        known.epoch = epoch;
        messages.keep(threadId, known);
      }
      return { results, isNews, stopped, ended, stored, threads };
    } catch (error) {
      // Fails where the connection is gone, and then says nothing new.
      if (this.#sent.length > 0) await this.#send(statements.rollback).catch(() => undefined);
      const isWrong = assumed !== null && sqlStateOf(error) === DIVISION_BY_ZERO;
      throw isWrong ? new AssumedWrongly() : error;
    }
  }

  /** Resolves with the server: see `RowVersion`. */
  async #begin(): Promise<number> {
    const { begin, bounded } = this.#context.statements;
    const begun = this.#send(begin);
    const answer = this.#send(bounded);
    this.#sent.push(begun, answer);
    begun.catch(() => undefined);
    return (await answer).rows[0]?.server;
  }

  #assume(assumed: readonly ThreadRow[]): void {
    for (const row of assumed) {
      this.#rows.set(row.threadId, { ...row });
      const known = this.#context.messages.of(row);
      if (known !== undefined) this.#takeMessages(row.threadId, known);
    }
  }

  async #load(ops: readonly PostgresOp[]): Promise<void> {
    const { statements, messages } = this.#context;
    const ids = [...new Set(ops.map(({ threadId }) => threadId))];
    const claimed = new Set(ops.filter(({ kind }) => kind === "claim").map((op) => op.threadId));
    // Looked up once: what is known of a thread may be forgotten while this transaction waits.
    const known = new Map(ids.map((threadId) => [threadId, messages.get(threadId)]));
    const unknown = [...claimed].filter((threadId) => known.get(threadId) === undefined);
    const [server, locked, read] = await Promise.all([
      this.#begin(),
      this.#send(statements.lockThreads, [textArray(ids.map(toStored))]),
      this.#readMessages(unknown.map((threadId) => ({ threadId, epoch: 0 }))),
      // When one of these fails, the next say only that the transaction is aborted.
      ...this.#sent,
    ]);
    for (const columns of locked.rows as ThreadColumns[]) {
      const row = threadRowOf(columns, server);
      this.#rows.set(row.threadId, row);
    }
    const owners = [...this.#rows.values()].flatMap(({ claim }) => claim?.ownerId ?? []);
    await this.#context.expectKnown(owners);
    await this.#loadMessages(claimed, known, read);
  }

  /** `read` has the messages of the threads of which nothing was known. */
  async #loadMessages(
    claimed: ReadonlySet<string>,
    remembered: ReadonlyMap<string, ThreadMessages | undefined>,
    read: ReadonlyMap<string, readonly StoredMessages[]>,
  ): Promise<void> {
    const behind: RunKey[] = [];
    for (const row of this.#rows.values()) {
      const { threadId } = row;
      const known = remembered.get(threadId);
      const isSame = known?.isOf(row) === true && known.epoch <= row.epoch;
      if (isSame && known.epoch === row.epoch) this.#takeMessages(threadId, known);
      else if (claimed.has(threadId)) {
        const messages = isSame ? known : new ThreadMessages(row);
        this.#takeMessages(threadId, messages);
        if (known !== undefined) behind.push({ threadId, epoch: messages.epoch });
        else for (const stored of read.get(threadId) ?? []) messages.read(stored);
      }
    }
    for (const [threadId, rows] of await this.#readMessages(behind)) {
      for (const stored of rows) this.#messages.get(threadId)?.read(stored);
    }
  }

  /**
   * Only what is committed is remembered. A transaction whose connection was given up may go on for a while: the one
   * that repeats it must not find messages that the first is adding.
   */
  #takeMessages(threadId: string, messages: ThreadMessages): void {
    this.#context.messages.forget(threadId);
    this.#messages.set(threadId, messages);
  }

  async #readMessages(
    behind: readonly RunKey[],
  ): Promise<ReadonlyMap<string, readonly StoredMessages[]>> {
    const read = new Map<string, StoredMessages[]>();
    if (behind.length === 0) return read;
    const { rows } = await this.#send(this.#context.statements.messagesSince, keyValues(behind));
    for (const { thread_id, epoch, messages, is_pack: isPack } of rows) {
      const threadId = fromStored(thread_id);
      const own = read.get(threadId) ?? [];
      read.set(threadId, own);
      own.push({ epoch, isPack, messages });
    }
    return read;
  }

  async #save({ writes, list, claims }: Operations, isAssumed: boolean): Promise<void> {
    const { statements, compactor, touches, ownHost } = this.#context;
    await writes.shareValues({ statements, compactor, send: this.#send }, this.#rows);
    // In the order in which `lockThreads` locks them.
    const rows = [...this.#rows.values()].sort((a, b) => (a.threadId < b.threadId ? -1 : 1));
    const changed = rows.filter(({ isChanged }) => isChanged);
    // No lock is held while long runs are compacted: the transaction begins here.
    if (isAssumed) this.#begin().catch(() => undefined);
    if (isAssumed && changed.length < rows.length) {
      const values = [...assumedValues(rows), rows.length, serverOf(rows)];
      this.#sent.push(this.#send(statements.lockAssumed, values));
    }
    const saved = changed.length === 0 ? null : writes.saveThreads(this.#send, statements, changed);
    if (saved !== null) this.#sent.push(saved);
    this.#sent.push(
      ...writes.send(this.#send, statements),
      ...list.send(this.#send, statements, touches, this.#rows),
    );
    const host = claims > 0 ? ownHost() : null;
    if (host !== null) this.#sent.push(this.#send(statements.putHostBack, host));
    const committed = this.#send(statements.commit);
    const answers = await Promise.allSettled([...this.#sent, committed]);
    const failed = answers.find((answer) => answer.status === "rejected");
    if (failed !== undefined) throw failed.reason;
    const { command } = await committed;
    if (command !== "COMMIT") {
      throw new RunStoreError("STORE_FAILED", `PostgreSQL answered a COMMIT with ${command}`);
    }
    const xmin = Number((await saved)?.rows[0]?.xmin);
    for (const row of changed) {
      row.version = row.version && { ...row.version, xmin };
      row.isChanged = false;
    }
  }
}
