import { type RunStoreError, toRunStoreError } from "../../protocol/errors.ts";
import type { Batch, CompactOp, OpResult } from "../../protocol/messages.ts";
import { OK } from "../../runs/answers.ts";
import { BatchOrder } from "../../runs/batch-order.ts";
import { textArray } from "./binary-arrays.ts";
import type { Connection } from "./connection.ts";
import { type PostgresOp, UnknownThread } from "./operations.ts";
import { isTooLong, tooLong, toStored } from "./stored-ids.ts";
import type { ThreadRow } from "./thread-row.ts";
import {
  AssumedWrongly,
  type Outcome,
  Transaction,
  type TransactionContext,
} from "./transaction.ts";

/** How many rows of threads are remembered. */
const MAX_ROWS = 10_000;

/**
 * Operations of one transaction at most: more of them take longer each. Operations of one part of a batch are
 * never divided.
 */
const MAX_OPS = 100;

/** Only the run that holds the thread has these operations. */
const OF_HOLDER: ReadonlySet<PostgresOp["kind"]> = new Set(["append", "finish", "release"]);

export interface LaneContext extends TransactionContext {
  /** Whether no other host is on the database, as far as this one knows. */
  readonly isAlone: () => boolean;
  readonly onCommitted: (outcome: Outcome) => void;
}

/** Operations that wait for their turn. */
interface Part {
  /** Null for operations that belong to no batch. */
  readonly batch: Pick<Batch, "seq" | "after"> | null;
  readonly ops: readonly PostgresOp[];
  readonly resolve: (results: OpResult[]) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * A connection for the operations of its share of the threads: one transaction after the other. Statements of
 * a pipeline do not wait for each other's success, so the next transaction is sent when the one before it
 * is committed. What has come meanwhile is committed together.
 */
export class Lane {
  readonly #connection: Connection;
  readonly #context: LaneContext;
  /**
   * The batches that this lane has committed its part of. The other lane may have failed with its part: then
   * the whole batch comes again, and what was committed is recognised.
   */
  readonly #order = new BatchOrder();
  /** Rows of threads, as the last transactions of this instance left them. The oldest come first. */
  readonly #rows = new Map<string, ThreadRow>();
  #waiting: Part[] = [];
  #isBusy = false;

  constructor(connection: Connection, context: LaneContext) {
    this.#connection = connection;
    this.#context = context;
  }

  /** Commits this lane's part of a batch, which may be empty. Resolves with the results of `ops`. */
  commit(batch: Pick<Batch, "seq" | "after">, ops: readonly PostgresOp[]): Promise<OpResult[]> {
    return this.#inTurn(batch, ops);
  }

  /** Commits operations that belong to no batch. */
  async commitApart(ops: readonly PostgresOp[]): Promise<void> {
    await this.#inTurn(null, ops);
  }

  #inTurn(batch: Part["batch"], ops: readonly PostgresOp[]): Promise<OpResult[]> {
    const { promise, resolve, reject } = Promise.withResolvers<OpResult[]>();
    this.#waiting.push({ batch, ops, resolve, reject });
    if (!this.#isBusy) void this.#work();
    return promise;
  }

  async #work(): Promise<void> {
    this.#isBusy = true;
    while (this.#waiting.length > 0) await this.#commitTogether(this.#takeParts());
    this.#isBusy = false;
  }

  /** The first part that waits, and those that follow it, as many as fit a transaction. */
  #takeParts(): readonly Part[] {
    let count = 0;
    let ops = 0;
    for (const part of this.#waiting) {
      const before = this.#waiting[count - 1]?.batch?.seq;
      ops += part.ops.length;
      if (count > 0 && (part.batch?.after !== before || ops > MAX_OPS)) break;
      count++;
    }
    return this.#waiting.splice(0, count);
  }

  async #commitTogether(parts: readonly Part[]): Promise<void> {
    try {
      const [{ batch } = { batch: null }] = parts;
      if (batch !== null) this.#order.expectNext(batch);
      const results = await this.#commit(parts.flatMap(({ ops }) => ops));
      for (const { batch, ops, resolve } of parts) {
        if (batch !== null) this.#order.committed(batch);
        resolve(results.splice(0, ops.length));
      }
    } catch (error) {
      for (const { reject } of parts) reject(error);
    }
  }

  /** What can take long is done first, while no row is locked. */
  async #commit(ops: readonly PostgresOp[]): Promise<OpResult[]> {
    const results: OpResult[] = [];
    const [pieces, first, rest]: [CompactOp[], number[], number[]] = [[], [], []];
    const long = threadsOfLongRuns(ops);
    for (const [place, op] of ops.entries()) {
      if (op.kind === "compact") {
        pieces.push(op);
        results[place] = OK;
      } else if (OF_HOLDER.has(op.kind) && long.has(op.threadId)) first.push(place);
      else rest.push(place);
    }
    const { longRuns } = this.#context;
    for (const op of pieces) await this.#connection.use((send) => longRuns.readAhead(send, op));
    for (const places of [first, rest]) {
      const answers = await this.#commitSome(places.map((place) => ops[place] as PostgresOp));
      for (const [at, place] of places.entries()) results[place] = answers[at] as OpResult;
    }
    return results;
  }

  async #commitSome(ops: readonly PostgresOp[]): Promise<OpResult[]> {
    if (ops.length === 0) return [];
    try {
      return await this.#inTransaction(ops);
    } catch (cause) {
      const error = toRunStoreError(cause);
      if (error.retryable || ops.length === 1) throw error;
      // One of them cannot be stored, whatever the reason: the others are committed without it.
      const results: OpResult[] = [];
      for (const op of ops) results.push(await this.#alone(op));
      return results;
    }
  }

  async #alone(op: PostgresOp): Promise<OpResult> {
    try {
      const [result] = await this.#inTransaction([op]);
      return result as OpResult;
    } catch (cause) {
      const error = toRunStoreError(cause);
      if (error.retryable) throw error;
      // Another index than that of `#addRows` cannot hold the id.
      return refused(op.kind === "claim" && isTooLong(error) ? tooLong(op.threadId) : error);
    }
  }

  async #inTransaction(ops: readonly PostgresOp[]): Promise<OpResult[]> {
    for (let isKnown = true; ; isKnown = false) {
      const assumed = isKnown ? this.#rowsOf(ops) : null;
      if (assumed === null) {
        const unfit = await this.#addRows(ops);
        if (unfit.size > 0) return this.#withoutUnfit(ops, unfit);
      }
      // Until the transaction is committed, nothing is known of its threads.
      for (const { threadId } of ops) this.#rows.delete(threadId);
      try {
        const outcome = await this.#connection.use((send) =>
          new Transaction(this.#context, send).run(ops, assumed),
        );
        this.#remember(outcome.threads);
        this.#context.onCommitted(outcome);
        return [...outcome.results];
      } catch (error) {
        if (!(error instanceof UnknownThread || error instanceof AssumedWrongly)) throw error;
      }
    }
  }

  /** Refuses the claims of these threads, and commits the other operations. */
  async #withoutUnfit(ops: readonly PostgresOp[], unfit: ReadonlySet<string>): Promise<OpResult[]> {
    const isUnfit = ({ kind, threadId }: PostgresOp) => kind === "claim" && unfit.has(threadId);
    const others = ops.filter((op) => !isUnfit(op));
    const results = others.length === 0 ? [] : await this.#inTransaction(others);
    return ops.map((op) =>
      isUnfit(op) ? refused(tooLong(op.threadId)) : (results.shift() as OpResult),
    );
  }

  #remember(rows: readonly ThreadRow[]): void {
    for (const row of rows) this.#rows.set(row.threadId, row);
    for (const id of this.#rows.keys()) {
      if (this.#rows.size <= MAX_ROWS) break;
      this.#rows.delete(id);
    }
  }

  /** The rows of all threads of the operations, or null if they have to be read. */
  #rowsOf(ops: readonly PostgresOp[]): readonly ThreadRow[] | null {
    const rows = new Set<ThreadRow>();
    for (const op of ops) {
      const row = this.#rows.get(op.threadId);
      if (row === undefined || !this.#mayAssume(op, row)) return null;
      rows.add(row);
    }
    // The server has changed meanwhile.
    if (new Set(Array.from(rows, ({ version }) => version?.server)).size > 1) return null;
    return [...rows];
  }

  #mayAssume(op: PostgresOp, row: ThreadRow): boolean {
    const { instanceId, messages, isAlone } = this.#context;
    if (row.version === null) return false;
    if (op.kind !== "claim") return OF_HOLDER.has(op.kind) && row.claim?.ownerId === instanceId;
    return (
      op.rerunOf === undefined && row.claim === null && isAlone() && messages.of(row) !== undefined
    );
  }

  /**
   * Adds the rows of new threads, in a transaction of their own. Two hosts that claim the same new threads
   * would otherwise wait for each other while they hold locks. Resolves with the threads whose ids are too long.
   */
  async #addRows(ops: readonly PostgresOp[]): Promise<ReadonlySet<string>> {
    const ids = new Set<string>();
    for (const { kind, threadId } of ops) {
      if (kind === "claim" && !this.#rows.has(threadId)) ids.add(threadId);
    }
    const unfit = new Set<string>();
    if (ids.size === 0) return unfit;
    try {
      await this.#insertRows([...ids]);
    } catch (error) {
      if (!isTooLong(error)) throw error;
      for (const id of ids) {
        const inserted = this.#insertRows([id]);
        await inserted.catch((cause: unknown) => {
          if (!isTooLong(cause)) throw cause;
          unfit.add(id);
        });
      }
    }
    return unfit;
  }

  async #insertRows(ids: readonly string[]): Promise<void> {
    const { begin, relaxed, addThreads, raiseNewThreads, commit } = this.#context.statements;
    const stored = textArray(ids.map(toStored));
    await this.#connection.use(async (send) => {
      const answers = await Promise.allSettled([
        send(begin),
        send(relaxed),
        send(addThreads, [stored]),
        send(raiseNewThreads, [stored]),
        send(commit),
      ]);
      for (const answer of answers) if (answer.status === "rejected") throw answer.reason;
    });
  }
}

const refused = ({ code, message }: RunStoreError): OpResult => ({
  ok: false,
  fault: { code, message },
});

/**
 * The threads of ended runs that a worker has to look at. What their holder does comes before a claim of the same
 * thread.
 */
function threadsOfLongRuns(ops: readonly PostgresOp[]): ReadonlySet<string> {
  const threads = new Set<string>();
  for (const op of ops) {
    if (op.kind !== "finish") continue;
    if (op.compactMessages === null || op.large.length > 0) threads.add(op.threadId);
  }
  return threads;
}
