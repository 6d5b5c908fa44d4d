import type { OfferedRun, OpResult, SettleOp, TakeOp } from "../../protocol/messages.ts";
import type { Send } from "./connection.ts";
import type { Statements } from "./statements.ts";
import { fromStored, toStored } from "./stored-ids.ts";
import type { ThreadRow } from "./thread-row.ts";

/** Interrupted runs that one notice names at most. */
const MAX_OFFERED = 1000;

/** A row of `interrupted_runs`. */
interface InterruptedColumns {
  readonly thread_id: string;
  readonly run_epoch: number;
  readonly offered_in: number;
  readonly rerun_epoch: number | null;
  readonly attempt: number;
  readonly started_at: number;
  readonly taken_by: string | null;
}

export interface InterruptedRunsContext {
  readonly statements: Statements;
  readonly instanceId: string;
  readonly isAlive: (instanceId: string) => boolean;
  readonly expectKnown: (instanceIds: readonly string[]) => Promise<void>;
  /** Whether the runs of an instance are offered for a rerun when it dies. */
  readonly offersInterrupted: (instanceId: string) => boolean;
}

/** A run that a crash ended. */
export interface CrashedRun {
  readonly ownerId: string;
  /** The epoch of its claim. */
  readonly epoch: number;
  /** The epoch under which it is stored. Null if nothing is. */
  readonly storedAs: number | null;
  /** Whether it was asked to stop. */
  readonly isStopped: boolean;
}

/**
 * The interrupted runs of the threads whose rows a transaction has locked.
 *
 * An offer counts while the thread is free in the epoch that the crash left. Any claim raises the epoch, so
 * that a claim which goes on with the thread need not look for an offer.
 */
export class InterruptedRuns {
  readonly #context: InterruptedRunsContext;
  readonly #send: Send;

  constructor(context: InterruptedRunsContext, send: Send) {
    this.#context = context;
    this.#send = send;
  }

  /** Offers a run that a crash ended, unless its instance does not want that. `row` is free by now. */
  async offer(row: ThreadRow, crashed: CrashedRun): Promise<void> {
    const { statements, offersInterrupted } = this.#context;
    const { ownerId, epoch, storedAs, isStopped } = crashed;
    if (isStopped || !offersInterrupted(ownerId)) return;
    const id = toStored(row.threadId);
    const [before] = await this.#query<InterruptedColumns>(statements.interruptedRun, [id]);
    // The input of a rerun is that of the first run, whatever was stored of the reruns.
    const first = before?.rerun_epoch === epoch ? before : null;
    const runEpoch = first?.run_epoch ?? storedAs;
    if (runEpoch === null) return;
    const [claimed] = await this.#query<{ at: number }>(statements.claimedAt, [id]);
    const startedAt = first?.started_at ?? claimed?.at ?? Date.now();
    const values = [id, runEpoch, row.epoch, first?.attempt ?? 0, startedAt];
    await this.#send(statements.offerRun, values);
  }

  /** Takes an interrupted run for this instance. The attempt counts even if this process dies at once. */
  async take(row: ThreadRow | undefined, op: TakeOp): Promise<OpResult<"take">> {
    const { statements, instanceId } = this.#context;
    const { attempt } = op;
    const offered = await this.#offered(row, op.row);
    if (row === undefined || offered === null) return { ok: true, taken: null };
    const isRepeated = offered.taken_by === instanceId && offered.attempt === attempt + 1;
    const isFree = offered.attempt === attempt && !(await this.#isTaken(offered));
    if (!isRepeated && !isFree) return { ok: true, taken: null };
    const id = toStored(row.threadId);
    if (isFree) await this.#send(statements.takeRun, [id, instanceId, attempt + 1]);
    const { agentId, resourceId = null } = row;
    return { ok: true, taken: { agentId, resourceId, startedAt: offered.started_at } };
  }

  /** Has an interrupted run offered no more, unless a live other instance has taken it. */
  async settle(row: ThreadRow | undefined, op: SettleOp): Promise<OpResult<"settle">> {
    const { statements, instanceId } = this.#context;
    const offered = await this.#offered(row, op.row);
    if (offered === null) return { ok: true, settled: false };
    const isOurs = offered.taken_by === instanceId;
    if (!isOurs && (await this.#isTaken(offered))) return { ok: true, settled: false };
    await this.#send(statements.settleRun, [toStored(op.threadId)]);
    return { ok: true, settled: true };
  }

  /** Whether this instance has taken the run, and no other run has held the thread since. */
  async mayRerun(row: ThreadRow, runEpoch: number): Promise<boolean> {
    const offered = await this.#offered(row, runEpoch);
    return offered?.taken_by === this.#context.instanceId;
  }

  /** The thread is claimed for the rerun, in the epoch that the row has. */
  async began(row: ThreadRow): Promise<void> {
    await this.#send(this.#context.statements.beginRerun, [toStored(row.threadId), row.epoch]);
  }

  async #offered(row: ThreadRow | undefined, runEpoch: number): Promise<InterruptedColumns | null> {
    if (row === undefined || row.claim !== null) return null;
    const id = toStored(row.threadId);
    const { interruptedRun } = this.#context.statements;
    const [found] = await this.#query<InterruptedColumns>(interruptedRun, [id]);
    return found?.run_epoch === runEpoch && found.offered_in === row.epoch ? found : null;
  }

  async #isTaken({ taken_by: takenBy }: InterruptedColumns): Promise<boolean> {
    if (takenBy === null) return false;
    await this.#context.expectKnown([takenBy]);
    return this.#context.isAlive(takenBy);
  }

  async #query<Row>(statement: Statements["begin"], values: readonly unknown[]): Promise<Row[]> {
    const { rows } = await this.#send(statement, values);
    return rows as Row[];
  }
}

/** The interrupted runs that no live instance has taken, those with the fewest attempts first. */
export async function offeredRuns(
  context: InterruptedRunsContext,
  send: Send,
): Promise<readonly OfferedRun[]> {
  const { rows } = await send(context.statements.offeredRuns, [MAX_OFFERED]);
  const found = rows as InterruptedColumns[];
  await context.expectKnown(found.flatMap(({ taken_by }) => taken_by ?? []));
  return found
    .filter(({ taken_by }) => taken_by === null || !context.isAlive(taken_by))
    .map(({ thread_id, run_epoch: row, attempt }) => ({
      threadId: fromStored(thread_id),
      row,
      attempt,
    }));
}
