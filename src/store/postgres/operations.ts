import type { MessageDigest } from "../../events/message-digests.ts";
import type { CompactedRun } from "../../protocol/compactor-messages.ts";
import { RunStoreError } from "../../protocol/errors.ts";
import type {
  AppendOp,
  ClaimOp,
  FinishOp,
  OpResult,
  ReleaseOp,
  StopOp,
  WriterOp,
} from "../../protocol/messages.ts";
import type { RunKey } from "../../protocol/run-key.ts";
import { isVisible } from "../../protocol/scope.ts";
import { answerUnheld, OK, type RunOp } from "../../runs/answers.ts";
import { belongsTo, decideClaim } from "../../runs/claim.ts";
import { eventsOf } from "../../runs/compact-journal.ts";
import { isStoppable, STOP, STOP_AND_DISCARD } from "../../runs/holder.ts";
import {
  endInterrupted,
  type InterruptedEnd,
  OWNER_DIED,
  REST_UNSTORED,
} from "../../runs/interrupted.ts";
import { messagesSeen } from "../../runs/messages-seen.ts";
import type { Compactor } from "./compactor.ts";
import type { Send } from "./connection.ts";
import { InterruptedRuns, type InterruptedRunsContext } from "./interrupted-runs.ts";
import type { LongRuns } from "./long-runs.ts";
import {
  crashedJournal,
  INPUT_SEQ,
  type JournalRange,
  type ReadJournal,
  readJournal,
} from "./read-journal.ts";
import { keyValues, RowWrites, type RunRow } from "./row-writes.ts";
import { jsonOf, type ThreadMessages } from "./thread-messages.ts";
import { holderOf, isHidden, type ThreadRow } from "./thread-row.ts";
import { ListWrites } from "./threads/list-writes.ts";
import type { Touch } from "./threads/thread-touches.ts";
import { updateThread } from "./threads/update-thread.ts";

/** End the run of a host that died, if that host still holds the thread. */
const REFUSED = { ok: true, claim: null, heldIn: null } as const;

export interface RecoverOp {
  readonly kind: "recover";
  readonly threadId: string;
  readonly ownerId: string;
}

/** Write to the list of threads what was put off. */
export interface TouchOp extends Touch {
  readonly kind: "touch";
  readonly threadId: string;
}

export type PostgresOp = WriterOp | RecoverOp | TouchOp;

export interface OperationContext extends InterruptedRunsContext {
  readonly interruptedNote: string | false;
  readonly compactor: Compactor;
  readonly longRuns: LongRuns;
}

/** A thread that a claim needs has no row yet. */
export class UnknownThread extends Error {}

/** The threads of a transaction. */
export interface LoadedThreads {
  readonly rows: ReadonlyMap<string, ThreadRow>;
  /** Undefined where they are not known. They are known of threads that are claimed. */
  readonly messagesOf: (row: ThreadRow) => ThreadMessages | undefined;
}

/** Applies operations to the rows of their threads, and gathers what is to be written. */
export class Operations {
  readonly #context: OperationContext;
  readonly #send: Send;
  readonly #threads: LoadedThreads;
  readonly #interrupted: InterruptedRuns;
  readonly writes = new RowWrites();
  readonly list = new ListWrites();
  /** Ended runs whose journal is kept for followers. */
  readonly ended: RunKey[] = [];
  /** Threads of which a run was stored. */
  readonly stored: string[] = [];
  /** Owners of runs that were asked to stop. */
  readonly stopped: string[] = [];
  /** How many threads this instance has claimed. */
  claims = 0;
  /** Whether another instance may want to look. */
  isNews = false;

  constructor(context: OperationContext, send: Send, threads: LoadedThreads) {
    this.#context = context;
    this.#send = send;
    this.#threads = threads;
    this.#interrupted = new InterruptedRuns(context, send);
  }

  /** An operation that fails has changed nothing: it fails before its first change. */
  async apply(op: PostgresOp): Promise<OpResult> {
    try {
      return await this.#apply(op);
    } catch (error) {
      if (!(error instanceof RunStoreError) || error.retryable) throw error;
      const { code, message } = error;
      return { ok: false, fault: { code, message } };
    }
  }

  async #apply(op: PostgresOp): Promise<OpResult> {
    const { instanceId, isAlive } = this.#context;
    const row = this.#threads.rows.get(op.threadId);
    if (op.kind === "claim") return this.#claim(op, row);
    if (op.kind === "stop") return this.#stop(op, row);
    if (op.kind === "take") return this.#interrupted.take(row, op);
    if (op.kind === "settle") return this.#interrupted.settle(row, op);
    if (op.kind === "updateThread") {
      await updateThread(this.#send, this.#context.statements, row, op);
      return OK;
    }
    if (op.kind === "touch") {
      this.list.touchLate(op.threadId, op);
      return OK;
    }
    if (op.kind === "recover") {
      const isDead = row?.claim?.ownerId === op.ownerId && !isAlive(op.ownerId);
      if (isDead) await this.#recoverCrashed(row, op.ownerId);
      return OK;
    }
    const isOurs = row?.claim?.ownerId === instanceId;
    if (op.kind === "withdraw") {
      if (isOurs && row.claim?.claimNumber === op.number) this.#free(row);
      // The claim may be under way over a connection that was given up. It then finds another row than it assumed.
      else if (row !== undefined) row.isChanged = true;
      return OK;
    }
    if (!isOurs || row.epoch !== op.epoch) {
      const isStored = await this.#isStored(op);
      return answerUnheld(op, () => isStored);
    }
    await this.#write(op, row);
    return OK;
  }

  /** An operation of the run that holds the thread. */
  async #write(op: RunOp, row: ThreadRow): Promise<void> {
    switch (op.kind) {
      case "append":
        return this.#append(op);
      case "finish":
        return this.#finish(op, row);
      case "release":
        this.#endJournal(op);
        return this.#free(row);
      case "giveUp":
        if (op.keep) {
          await this.#recover(row, REST_UNSTORED);
          return;
        }
        this.writes.deleteJournal(op);
        return this.#free(row);
    }
  }

  async #claim(op: ClaimOp, row: ThreadRow | undefined): Promise<OpResult<"claim">> {
    const { instanceId, isAlive } = this.#context;
    const { threadId, runId, agentId, resourceId, number: claimNumber } = op;
    if (row === undefined) throw new UnknownThread();
    if (!belongsTo(row.resourceId, resourceId)) {
      return { ...REFUSED, refusal: "THREAD_NOT_FOUND" };
    }
    if (isHidden(row)) return { ...REFUSED, refusal: "THREAD_ALREADY_RUNNING" };
    const holder = holderOf(row, isAlive);
    const decision = decideClaim({ instanceId, claimNumber, holder });
    const isRerun = op.rerunOf !== undefined && decision.kind !== "repeat";
    if (isRerun && !(await this.#interrupted.mayRerun(row, op.rerunOf))) {
      return { ...REFUSED, refusal: "THREAD_ALREADY_RUNNING" };
    }
    if (decision.kind === "refuse") {
      return { ...REFUSED, refusal: "THREAD_ALREADY_RUNNING", heldIn: row.epoch };
    }
    if (decision.kind === "recover") await this.#recover(row, this.#ownerDied());
    if (decision.kind !== "repeat") {
      row.epoch++;
      row.claim = { runId, ownerId: instanceId, claimNumber };
      row.stop = 0;
      row.resourceId = resourceId;
      row.agentId = agentId;
      row.isChanged = true;
      this.claims++;
      this.#context.longRuns.forget(row);
      this.list.touch(threadId, agentId);
      if (isRerun) await this.#interrupted.began(row);
    }
    const known = messagesSeen(op, (id) => this.#threads.messagesOf(row)?.digestOf(id));
    return { ok: true, claim: { epoch: row.epoch, ...known, isFirst: row.runs === 0 } };
  }

  #stop(op: StopOp, row: ThreadRow | undefined): OpResult<"stop"> {
    const { instanceId, isAlive } = this.#context;
    const wanted = op.discard ? STOP_AND_DISCARD : STOP;
    const isSeen =
      row !== undefined && !isHidden(row) && isVisible(op.scope, row.resourceId ?? null);
    const stopped =
      isSeen && row.stop < wanted && isStoppable(holderOf(row, isAlive), op, instanceId);
    if (stopped) this.#askToStop(row, wanted);
    return { ok: true, stopped };
  }

  #append({ threadId, epoch, seq, events, input }: AppendOp): void {
    if (input !== null) {
      this.writes.addSegment({ threadId, epoch, seq: INPUT_SEQ, events: input });
    }
    this.writes.addSegment({ threadId, epoch, seq, events });
    this.isNews = true;
  }

  async #finish(op: FinishOp, row: ThreadRow): Promise<void> {
    let { input, events, large, compactMessages: messages } = op;
    if (messages === null) {
      ({ input, events, large, messages } = await this.#compactJournaled(op));
    }
    const { threadId, epoch, runId, agentId, finishedAt } = op;
    const ids = { threadId, epoch, runId, agentId, finishedAt };
    const run = { ...ids, input: input ?? "{}", events, large };
    this.#store(run, messages, row);
    this.#endJournal(op);
    this.#free(row);
  }

  async #compactJournaled(op: FinishOp): Promise<CompactedRun & Pick<FinishOp, "input">> {
    const { longRuns, compactor } = this.#context;
    for (let from = longRuns.readOf(op); ; from = 0) {
      const journal = await this.#readJournal(op, { from, length: op.segments });
      const missing = op.segments - from - journal.segments.length;
      if (missing > 0) {
        const message = `the journal of the run lacks its last ${missing} segments`;
        throw new RunStoreError("STORE_FAILED", message);
      }
      const input = op.input ?? journal.input;
      const rest = { input, segments: [...journal.segments, op.events] };
      const compacted = await (from > 0 ? longRuns.finish(op, rest) : compactor.compact(rest));
      if (compacted !== null) return { ...compacted, input };
    }
  }

  #store(run: Omit<RunRow, "messages">, messages: readonly MessageDigest[], row: ThreadRow): void {
    const { threadId, epoch } = run;
    const known = this.#threads.messagesOf(row);
    this.writes.addRun({ ...run, messages: known?.add(epoch, messages) ?? jsonOf(messages) });
    const pack = known?.takePack() ?? null;
    if (pack !== null) this.writes.addPack({ threadId, epoch, messages: pack });
    this.stored.push(threadId);
    row.runs++;
  }

  /**
   * Ends a run that nobody executes. Its owner may only have been suspended: the epoch is raised. Resolves with
   * the epoch under which the run is stored, or null if nothing is.
   */
  async #recover(row: ThreadRow, end: InterruptedEnd): Promise<number | null> {
    const { threadId, epoch, claim, agentId } = row;
    if (claim === null) return null;
    const { runId } = claim;
    const key = { threadId, epoch };
    const journaled = await this.#readJournal(key);
    const { input, segments } = crashedJournal(journaled);
    const ended = endInterrupted({ ...key, runId, events: eventsOf(segments) }, end);
    if (ended === null) {
      this.writes.deleteJournal(key);
    } else {
      const closing = JSON.stringify(ended.closing);
      const journal = { input, segments: [...segments, closing] };
      const { messages, ...compacted } = await this.#context.compactor.compact(journal);
      const run = { threadId, epoch: ended.epoch, runId, agentId, finishedAt: Date.now() };
      this.#store({ ...run, input: input ?? "{}", ...compacted }, messages, row);
      this.writes.addSegment({ ...key, seq: journaled.segments.length, events: closing });
      this.ended.push(key);
    }
    this.#free(row);
    row.epoch = epoch + 1;
    return ended?.epoch ?? null;
  }

  /** Ends the run of an instance that died, and offers it for a rerun. */
  async #recoverCrashed(row: ThreadRow, ownerId: string): Promise<void> {
    const { epoch, stop } = row;
    const storedAs = await this.#recover(row, this.#ownerDied());
    await this.#interrupted.offer(row, { ownerId, epoch, storedAs, isStopped: stop > 0 });
  }

  #ownerDied(): InterruptedEnd {
    return { ...OWNER_DIED, note: this.#context.interruptedNote };
  }

  /** Followers get the last events of a journaled run from the journal, which is kept for a while. */
  #endJournal({ threadId, epoch, segments, seq, events }: FinishOp | ReleaseOp): void {
    if (segments === 0) {
      // Only the event that begins the run may be there: see `START_SEQ`.
      const { offersInterrupted, instanceId } = this.#context;
      if (offersInterrupted(instanceId)) this.writes.deleteJournal({ threadId, epoch });
      return;
    }
    this.writes.addSegment({ threadId, epoch, seq, events });
    this.ended.push({ threadId, epoch });
  }

  #free(row: ThreadRow): void {
    row.claim = null;
    row.stop = 0;
    if (row.runs === 0) {
      row.resourceId = undefined;
      this.list.forget(row.threadId);
    } else {
      this.list.touch(row.threadId, row.agentId);
    }
    row.isChanged = true;
    this.isNews = true;
  }

  #askToStop(row: ThreadRow, stop: number): void {
    row.stop = stop;
    row.isChanged = true;
    if (row.claim !== null) this.stopped.push(row.claim.ownerId);
    this.isNews = true;
  }

  async #isStored(run: RunKey): Promise<boolean> {
    if (this.writes.hasRun(run)) return true;
    const { rows } = await this.#send(this.#context.statements.runsKnown, keyValues([run]));
    return rows.length > 0;
  }

  #readJournal(run: RunKey, range?: JournalRange): Promise<ReadJournal> {
    const added = this.writes.segmentsOf(run);
    return readJournal(this.#send, this.#context.statements, run, added, range);
  }
}
