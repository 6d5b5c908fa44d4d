import type { EventLike } from "../../src/events/event.ts";
import { toRunStoreError } from "../../src/protocol/errors.ts";
import type * as messages from "../../src/protocol/messages.ts";
import { keyOf, type RunKey } from "../../src/protocol/run-key.ts";
import { belongsTo, decideClaim } from "../../src/runs/claim.ts";
import { endInterrupted, OWNER_DIED, REST_UNSTORED } from "../../src/runs/interrupted.ts";
import type { MemoryDatabase, ThreadRow } from "./memory-database.ts";

const OK: messages.Done = { ok: true };

export interface MemoryOperationsOptions {
  readonly database: MemoryDatabase;
  /** The instance that writes. */
  readonly instanceId: string;
  readonly isAlive: (instanceId: string) => boolean;
}

/** The operations of a batch, on a `MemoryDatabase`. */
export class MemoryOperations {
  readonly #options: MemoryOperationsOptions;

  constructor(options: MemoryOperationsOptions) {
    this.#options = options;
  }

  /** An operation that fails has a fault for its result. */
  apply(op: messages.WriterOp): messages.OpResult {
    try {
      return this.#apply(op);
    } catch (error) {
      const { code, message } = toRunStoreError(error);
      return { ok: false, fault: { code, message } };
    }
  }

  /** Each operation throws before it changes anything, or does not throw. */
  #apply(op: messages.WriterOp): messages.OpResult {
    switch (op.kind) {
      case "claim":
        return this.#claim(op);
      case "append":
        return this.#append(op);
      case "finish":
        return this.#finish(op);
      case "release":
        if (this.#holds(op)) this.#end(op, op.segments > 0 ? op.events : null);
        return OK;
      case "withdraw":
        return this.#withdraw(op);
      case "giveUp":
        return this.#giveUp(op);
      case "confirm":
        return this.#holds(op) ? OK : this.#answerWithoutLease(op);
      case "stop":
        return this.#stop(op);
      case "take":
        return { ok: true, taken: null };
      case "settle":
        return { ok: true, settled: false };
      case "compact":
        return OK;
    }
  }

  #claim(op: messages.ClaimOp): messages.OpResult<"claim"> {
    const { threadId, runId, number: claimNumber } = op;
    const row = this.#options.database.threadRow(threadId);
    if (!belongsTo(row.resourceId, op.resourceId)) {
      return { ok: true, claim: null, refusal: "THREAD_NOT_FOUND" };
    }
    row.resourceId = op.resourceId;
    const holder = row.holder && {
      ...row.holder,
      epoch: row.epoch,
      isAlive: this.#options.isAlive(row.holder.ownerId),
    };
    const decision = decideClaim({ instanceId: this.#options.instanceId, claimNumber, holder });
    if (decision.kind === "refuse") {
      if (op.supersede) row.stop = "discard";
      return { ok: true, claim: null, refusal: "THREAD_ALREADY_RUNNING" };
    }
    const from = row.holder;
    if (decision.kind === "recover") this.recover(row, OWNER_DIED);
    if (decision.kind !== "repeat") {
      row.epoch++;
      row.holder = { runId, ownerId: this.#options.instanceId, claimNumber };
      this.#options.database.taken.push({ threadId, epoch: row.epoch, by: row.holder, from });
    }
    const known = this.#options.database.compare(threadId, op.messageIds, op.messageDigests);
    return { ok: true, claim: { epoch: row.epoch, ...known } };
  }

  #append(op: messages.AppendOp): messages.OpResult<"append"> {
    if (!this.#holds(op)) return this.#answerWithoutLease(op);
    const { segments, ...journal } = this.#options.database.journalOf(op);
    if (op.seq > segments.length) throw new Error("a segment before this one is missing");
    if (op.seq === segments.length) segments.push(op.events);
    const input = op.input ?? journal.input;
    this.#options.database.journals.set(keyOf(op), { segments, input });
    return OK;
  }

  #finish(op: messages.FinishOp): messages.OpResult<"finish"> {
    if (!this.#holds(op)) return this.#answerWithoutLease(op);
    const { database } = this.#options;
    const journal = database.journalOf(op);
    if (journal.segments.length < op.segments) throw new Error("the journal lacks segments");
    if (op.compactMessages !== null) database.storeCompact(op, op.events, op.compactMessages);
    else {
      const tail = JSON.parse(op.events) as EventLike[];
      database.store(op, [...database.eventsOf(journal), ...tail], op.input ?? journal.input);
    }
    this.#end(op, op.segments > 0 ? op.events : null);
    return OK;
  }

  #withdraw({ threadId, number }: messages.WithdrawOp): messages.Done {
    const row = this.#options.database.threadRow(threadId);
    const isOurs =
      row.holder?.ownerId === this.#options.instanceId && row.holder.claimNumber === number;
    if (isOurs) this.#end(row, null);
    return OK;
  }

  #giveUp(op: messages.GiveUpOp): messages.Done {
    if (!this.#holds(op)) return OK;
    if (op.keep) this.recover(this.#options.database.threadRow(op.threadId), REST_UNSTORED);
    else this.#end(op, null);
    return OK;
  }

  #stop({ threadId, runId, scope }: messages.StopOp): messages.StopAnswer {
    const { instanceId, database, isAlive } = this.#options;
    if (!database.isVisible(threadId, scope)) return { ok: true, stopped: false };
    const row = database.threadRow(threadId);
    const { holder, stop } = row;
    const isElsewhere = holder !== null && holder.ownerId !== instanceId;
    const isMeant = runId === null || holder?.runId === runId;
    const stopped = isElsewhere && isMeant && stop === null && isAlive(holder.ownerId);
    if (stopped) row.stop = "stop";
    return { ok: true, stopped };
  }

  #holds({ threadId, epoch }: RunKey): boolean {
    const row = this.#options.database.threads.get(threadId);
    return row?.epoch === epoch && row.holder?.ownerId === this.#options.instanceId;
  }

  /** If the run is stored, its batch was committed before and is sent again: then all is well. */
  #answerWithoutLease(
    run: RunKey & { readonly runId?: string },
  ): messages.OpResult<"append" | "confirm" | "finish"> {
    if (this.#options.database.storedRun(run) !== undefined) return OK;
    const message = "the thread is not held by this run any more";
    return { ok: false, fault: { code: "LEASE_LOST", message } };
  }

  /** Frees the thread. `events` end the journal of the run, if it has one. */
  #end(run: RunKey, events: string | null): void {
    const { database } = this.#options;
    if (events !== null) database.journals.get(keyOf(run))?.segments.push(events);
    const row = database.threadRow(run.threadId);
    row.holder = null;
    row.stop = null;
    if (!database.runs.some(({ threadId }) => threadId === run.threadId))
      row.resourceId = undefined;
  }

  /** Ends a run that nobody executes. Its owner may only have slept: the epoch is raised. */
  recover(row: ThreadRow, end: typeof OWNER_DIED): void {
    const { threadId, epoch, holder } = row;
    if (holder === null) return;
    const journal = this.#options.database.journalOf(row);
    const events = this.#options.database.eventsOf(journal);
    const run = { threadId, epoch, runId: holder.runId, events };
    const ended = endInterrupted(run, end);
    if (ended !== null) {
      const closed = [...events, ...ended.closing];
      this.#options.database.store({ ...run, epoch: ended.epoch }, closed, journal.input);
    }
    this.#end(row, ended && JSON.stringify(ended.closing));
    row.epoch = epoch + 1;
  }
}
