import { eventsOf } from "../../events/compact/compact-journal.ts";
import { type MessageDigest, UNKNOWN_DIGEST } from "../../events/message-digests.ts";
import { RunStoreError, toRunStoreError } from "../../protocol/errors.ts";
import type {
  AppendOp,
  ClaimOp,
  ClaimResult,
  Done,
  FinishOp,
  GiveUpOp,
  OpResult,
  ReleaseOp,
  StopOp,
  WithdrawOp,
  WriterOp,
} from "../../protocol/messages.ts";
import { keyOf, type RunKey } from "../../protocol/run-key.ts";
import { isVisible } from "../../protocol/scope.ts";
import { belongsTo, decideClaim } from "../../runs/claim.ts";
import {
  endInterrupted,
  type InterruptedEnd,
  OWNER_DIED,
  REST_UNSTORED,
} from "../../runs/interrupted.ts";
import { bigintArray, textArray } from "./binary-arrays.ts";
import type { Compactor } from "./compactor.ts";
import type { Send } from "./connection.ts";
import type { Statements, ThreadColumns } from "./statements.ts";
import { fromStored, toStored, toStoredOrNull } from "./stored-ids.ts";
import { STOP, STOP_AND_DISCARD, type ThreadRow, threadRowOf } from "./thread-row.ts";

const OK: Done = { ok: true };

/** End the run of a host that died, if that host still holds the thread. */
export interface RecoverOp {
  readonly kind: "recover";
  readonly threadId: string;
  readonly ownerId: string;
}

export type PostgresOp = WriterOp | RecoverOp;

export interface TransactionContext {
  readonly statements: Statements;
  /** The instance that writes. */
  readonly instanceId: string;
  readonly interruptedNote: string | false;
  readonly isAlive: (instanceId: string) => boolean;
  /** Reads the hosts again when one of these is not known yet: it would count as dead. */
  readonly expectKnown: (instanceIds: readonly string[]) => Promise<void>;
  readonly compactor: Compactor;
}

interface RunRow extends RunKey {
  readonly runId: string;
  readonly agentId: string | null;
  readonly finishedAt: number;
  readonly input: string;
  readonly events: string;
}

interface SegmentRow extends RunKey {
  readonly seq: number;
  readonly events: string;
}

/** The journal of a run, and the seq of its last segment. */
interface StoredJournal {
  readonly input: string | null;
  readonly segments: readonly string[];
  readonly lastSeq: number;
}

/** A thread that a claim needs has no row yet. */
export class UnknownThread extends Error {
  readonly threadId: string;

  constructor(threadId: string) {
    super("a thread has no row");
    this.threadId = threadId;
  }
}

/** What a transaction has done, for those who hear of it when it is committed. */
export interface Outcome {
  readonly results: readonly OpResult[];
  /** Whether another instance may want to look. */
  readonly isNews: boolean;
  /** Owners of runs that were asked to stop. */
  readonly stopped: readonly string[];
  /** Ended runs whose journal is kept for followers. */
  readonly ended: readonly RunKey[];
  /** The threads of the operations, and the epoch in which this instance holds each, or null. */
  readonly held: ReadonlyMap<string, number | null>;
}

/**
 * One transaction: reads and locks the rows of its threads, applies the operations to these rows, and writes
 * the rows back. So the rules of `src/runs` decide here, and not in SQL. Two round trips, however many
 * operations there are.
 */
export class Transaction {
  readonly #context: TransactionContext;
  readonly #send: Send;
  readonly #threads = new Map<string, ThreadRow>();
  /** By thread, the digests of the messages that the claims ask for. */
  readonly #messages = new Map<string, Map<string, number>>();
  readonly #runs: RunRow[] = [];
  readonly #newMessages = new Map<string, Map<string, number>>();
  readonly #segments: SegmentRow[] = [];
  readonly #deleted: RunKey[] = [];
  readonly #ended: RunKey[] = [];
  readonly #stopped: string[] = [];
  #isNews = false;

  constructor(context: TransactionContext, send: Send) {
    this.#context = context;
    this.#send = send;
  }

  async run(ops: readonly PostgresOp[]): Promise<Outcome> {
    const { statements } = this.#context;
    try {
      await this.#load(ops);
      const results: OpResult[] = [];
      for (const op of ops) results.push(await this.#applySafely(op));
      await this.#save();
      return {
        results,
        isNews: this.#isNews,
        stopped: this.#stopped,
        ended: this.#ended,
        held: this.#held(),
      };
    } catch (error) {
      // Fails where the connection is gone, and then says nothing new.
      await this.#send(statements.rollback).catch(() => undefined);
      throw error;
    }
  }

  async #load(ops: readonly PostgresOp[]): Promise<void> {
    const { statements } = this.#context;
    const ids = [...new Set(ops.map(({ threadId }) => toStored(threadId)))];
    const claims = ops.filter((op) => op.kind === "claim");
    const asked = claims.flatMap(({ threadId, messageIds }) =>
      messageIds.filter((id) => id !== "").map((id) => [toStored(threadId), toStored(id)] as const),
    );
    const [, locked, known] = await Promise.all([
      this.#send(statements.begin),
      this.#send(statements.lockThreads, [textArray(ids)]),
      asked.length === 0
        ? null
        : this.#send(statements.messagesKnown, [
            textArray(asked.map(([threadId]) => threadId)),
            textArray(asked.map(([, id]) => id)),
          ]),
    ]);
    for (const row of locked.rows as ThreadColumns[]) {
      const thread = threadRowOf(row);
      this.#threads.set(thread.threadId, thread);
    }
    const holders = [...this.#threads.values()].flatMap(({ holder }) => holder?.ownerId ?? []);
    await this.#context.expectKnown(holders);
    for (const { thread_id, message_id, digest } of known?.rows ?? []) {
      this.#messagesOf(fromStored(thread_id)).set(fromStored(message_id), digest);
    }
  }

  /** An operation that fails changes nothing: each fails before it changes anything. */
  async #applySafely(op: PostgresOp): Promise<OpResult> {
    try {
      return await this.#apply(op);
    } catch (error) {
      if (!(error instanceof RunStoreError) || error.retryable) throw error;
      const { code, message } = toRunStoreError(error);
      return { ok: false, fault: { code, message } };
    }
  }

  #apply(op: PostgresOp): Promise<OpResult> | OpResult {
    switch (op.kind) {
      case "claim":
        return this.#claim(op);
      case "append":
        return this.#append(op);
      case "finish":
        return this.#finish(op);
      case "release":
        return this.#release(op);
      case "withdraw":
        return this.#withdraw(op);
      case "giveUp":
        return this.#giveUp(op);
      case "confirm":
        return this.#holds(op) !== null ? OK : this.#answerWithoutLease(op);
      case "stop":
        return this.#stop(op);
      case "recover":
        return this.#recoverDead(op);
      case "compact":
        return OK;
    }
  }

  async #claim(op: ClaimOp): Promise<OpResult<"claim">> {
    const { instanceId, isAlive, interruptedNote } = this.#context;
    const { threadId, runId, agentId, resourceId, number: claimNumber } = op;
    const row = this.#threads.get(threadId);
    if (row === undefined) throw new UnknownThread(threadId);
    if (!belongsTo(row.resourceId, resourceId)) {
      return { ok: true, claim: null, refusal: "THREAD_NOT_FOUND" };
    }
    const { epoch } = row;
    const holder = row.holder && { ...row.holder, epoch, isAlive: isAlive(row.holder.ownerId) };
    const decision = decideClaim({ instanceId, claimNumber, holder });
    if (decision.kind === "refuse") {
      if (op.supersede) this.#askToStop(row, STOP_AND_DISCARD);
      return { ok: true, claim: null, refusal: "THREAD_ALREADY_RUNNING" };
    }
    if (decision.kind === "recover") {
      await this.#recover(row, { ...OWNER_DIED, note: interruptedNote });
    }
    if (decision.kind !== "repeat") {
      row.epoch++;
      row.holder = { runId, ownerId: instanceId, claimNumber };
      row.stop = 0;
      row.resourceId = resourceId;
      row.agentId = agentId ?? row.agentId;
      this.#change(row);
    }
    return { ok: true, claim: { epoch: row.epoch, ...this.#compare(op) } };
  }

  #compare({ threadId, messageIds, messageDigests }: ClaimOp): Omit<ClaimResult, "epoch"> {
    const stored = this.#messages.get(threadId);
    const changed: number[] = [];
    const seen = messageIds.map((id, at) => {
      const digest = stored?.get(id.toWellFormed());
      const given = messageDigests[at] ?? UNKNOWN_DIGEST;
      const isComparable = given !== UNKNOWN_DIGEST && digest !== UNKNOWN_DIGEST;
      if (digest !== undefined && isComparable && digest !== given) changed.push(at);
      return digest !== undefined && id !== "";
    });
    return { seen, changed };
  }

  #append(op: AppendOp): Promise<OpResult<"append">> | OpResult<"append"> {
    if (this.#holds(op) === null) return this.#answerWithoutLease(op);
    const { threadId, epoch } = op;
    if (op.input !== null) this.#segments.push({ threadId, epoch, seq: -1, events: op.input });
    this.#segments.push({ threadId, epoch, seq: op.seq, events: op.events });
    this.#isNews = true;
    return OK;
  }

  async #finish(op: FinishOp): Promise<OpResult<"finish">> {
    const row = this.#holds(op);
    if (row === null) return this.#answerWithoutLease(op);
    let { input, events, compactMessages: messages } = op;
    if (messages === null) {
      const journal = op.segments === 0 ? null : await this.#readJournal(op);
      const segments = journal?.segments ?? [];
      if (segments.length < op.segments) {
        const missing = op.segments - segments.length;
        throw new RunStoreError(
          "STORE_FAILED",
          `the journal of the run lacks its last ${missing} segments`,
        );
      }
      input ??= journal?.input ?? null;
      const run = { input, segments: [...segments, events] };
      ({ events, messages } = await this.#context.compactor.compact(run));
    }
    this.#store(row, { ...op, input: input ?? "{}", events }, messages);
    this.#endJournal(op);
    this.#free(row);
    return OK;
  }

  #release(op: ReleaseOp): Done {
    const row = this.#holds(op);
    if (row === null) return OK;
    this.#endJournal(op);
    this.#free(row);
    return OK;
  }

  #withdraw({ threadId, number }: WithdrawOp): Done {
    const row = this.#threads.get(threadId);
    const isOurs =
      row?.holder?.ownerId === this.#context.instanceId && row.holder.claimNumber === number;
    if (isOurs) this.#free(row);
    return OK;
  }

  async #giveUp(op: GiveUpOp): Promise<Done> {
    const row = this.#holds(op);
    if (row === null) return OK;
    if (op.keep) {
      await this.#recover(row, REST_UNSTORED);
    } else {
      this.#deleted.push(op);
      this.#free(row);
    }
    return OK;
  }

  #stop({ threadId, runId, discard, scope }: StopOp): OpResult<"stop"> {
    const { instanceId, isAlive } = this.#context;
    const row = this.#threads.get(threadId);
    const holder = row?.holder ?? null;
    const isSeen = row !== undefined && isVisible(scope, row.resourceId ?? null);
    const isOther = holder !== null && holder.ownerId !== instanceId && isAlive(holder.ownerId);
    const isMeant = runId === null || holder?.runId === runId;
    const wanted = discard ? STOP_AND_DISCARD : STOP;
    const stopped = isSeen && isOther && isMeant && row.stop < wanted;
    if (stopped) this.#askToStop(row, wanted);
    return { ok: true, stopped };
  }

  async #recoverDead({ threadId, ownerId }: RecoverOp): Promise<Done> {
    const row = this.#threads.get(threadId);
    if (row === undefined || row.holder?.ownerId !== ownerId) return OK;
    const { isAlive, interruptedNote } = this.#context;
    if (isAlive(ownerId)) return OK;
    await this.#recover(row, { ...OWNER_DIED, note: interruptedNote });
    return OK;
  }

  /** Ends a run that nobody executes. Its owner may only have been suspended: the epoch is raised. */
  async #recover(row: ThreadRow, end: InterruptedEnd): Promise<void> {
    const { threadId, epoch, holder } = row;
    if (holder === null) return;
    const key = { threadId, epoch };
    const journal = await this.#readJournal(key);
    const run = { ...key, runId: holder.runId, events: eventsOf(journal.segments) };
    const ended = endInterrupted(run, end);
    if (ended === null) {
      this.#deleted.push(key);
    } else {
      const closing = JSON.stringify(ended.closing);
      const { input } = journal;
      const segments = [...journal.segments, closing];
      const { events, messages } = await this.#context.compactor.compact({ input, segments });
      const stored = { ...key, epoch: ended.epoch, runId: holder.runId, agentId: row.agentId };
      const rest = { finishedAt: Date.now(), input: input ?? "{}", events };
      this.#store(row, { ...stored, ...rest }, messages);
      this.#segments.push({ ...key, seq: journal.lastSeq + 1, events: closing });
      this.#ended.push(key);
    }
    this.#free(row);
    row.epoch = epoch + 1;
  }

  #store(row: ThreadRow, run: RunRow, messages: readonly MessageDigest[]): void {
    const { threadId, epoch, runId, agentId, finishedAt, input, events } = run;
    this.#runs.push({ threadId, epoch, runId, agentId, finishedAt, input, events });
    row.runs++;
    const known = this.#messagesOf(threadId);
    const added = this.#newMessages.get(threadId) ?? new Map<string, number>();
    this.#newMessages.set(threadId, added);
    for (const [id, digest] of messages) {
      const wellFormed = id.toWellFormed();
      known.set(wellFormed, digest);
      added.set(wellFormed, digest);
    }
  }

  /** Followers get the last events of a journaled run from the journal, which is kept for a while. */
  #endJournal({ threadId, epoch, segments, seq, events }: FinishOp | ReleaseOp): void {
    if (segments === 0) return;
    this.#segments.push({ threadId, epoch, seq, events });
    this.#ended.push({ threadId, epoch });
  }

  #free(row: ThreadRow): void {
    row.holder = null;
    row.stop = 0;
    if (row.runs === 0) row.resourceId = undefined;
    this.#isNews = true;
    this.#change(row);
  }

  #askToStop(row: ThreadRow, stop: number): void {
    row.stop = stop;
    if (row.holder !== null) this.#stopped.push(row.holder.ownerId);
    this.#isNews = true;
    this.#change(row);
  }

  #change(row: ThreadRow): void {
    row.isChanged = true;
  }

  #holds({ threadId, epoch }: RunKey): ThreadRow | null {
    const row = this.#threads.get(threadId);
    const isHeld = row?.epoch === epoch && row.holder?.ownerId === this.#context.instanceId;
    return isHeld ? row : null;
  }

  /** If the run is stored, its batch was committed before, and is sent again. */
  async #answerWithoutLease(
    run: RunKey & { readonly runId?: string },
  ): Promise<OpResult<"append" | "confirm" | "finish">> {
    const { threadId, epoch, runId } = run;
    const isSame = (row: { epoch: number; runId: string }) =>
      row.epoch === epoch && (runId === undefined || row.runId === runId);
    if (this.#runs.some((row) => row.threadId === threadId && isSame(row))) return OK;
    const { statements } = this.#context;
    const key = [textArray([toStored(threadId)]), bigintArray([epoch])];
    const { rows } = await this.#send(statements.runsKnown, key);
    if (rows.some((row) => isSame({ epoch: row.epoch, runId: fromStored(row.run_id) }))) return OK;
    const message = "the thread is not held by this run any more";
    return { ok: false, fault: { code: "LEASE_LOST", message } };
  }

  /** The journal, with what this transaction has added to it. It ends before the first segment that is missing. */
  async #readJournal({ threadId, epoch }: RunKey): Promise<StoredJournal> {
    const { statements } = this.#context;
    const { rows } = await this.#send(statements.journal, [toStored(threadId), epoch]);
    const bySeq = new Map<number, string>(rows.map(({ seq, events }) => [seq, events]));
    for (const segment of this.#segments) {
      const isOfRun = segment.threadId === threadId && segment.epoch === epoch;
      if (isOfRun && !bySeq.has(segment.seq)) bySeq.set(segment.seq, segment.events);
    }
    const segments: string[] = [];
    for (;;) {
      const events = bySeq.get(segments.length);
      if (events === undefined) break;
      segments.push(events);
    }
    return { input: bySeq.get(-1) ?? null, segments, lastSeq: segments.length - 1 };
  }

  #messagesOf(threadId: string): Map<string, number> {
    const known = this.#messages.get(threadId) ?? new Map<string, number>();
    this.#messages.set(threadId, known);
    return known;
  }

  async #save(): Promise<void> {
    const { statements } = this.#context;
    const threads = [...this.#threads.values()].filter(({ isChanged }) => isChanged);
    const sent: Promise<unknown>[] = [];
    const send: Send = (...statement) => {
      const answer = this.#send(...statement);
      sent.push(answer);
      return answer;
    };
    if (threads.length > 0) void send(statements.saveThreads, threadValues(threads));
    if (this.#runs.length > 0) void send(statements.addRuns, runValues(this.#runs));
    if (this.#segments.length > 0) void send(statements.addSegments, segmentValues(this.#segments));
    if (this.#deleted.length > 0) void send(statements.deleteJournals, keyValues(this.#deleted));
    const messages = [...this.#newMessages].flatMap(([threadId, added]) =>
      Array.from(added, ([id, digest]) => [toStored(threadId), toStored(id), digest] as const),
    );
    if (messages.length > 0) {
      void send(statements.addMessages, [
        textArray(messages.map(([threadId]) => threadId)),
        textArray(messages.map(([, id]) => id)),
        bigintArray(messages.map(([, , digest]) => digest)),
      ]);
    }
    const committed = this.#send(statements.commit);
    sent.push(committed);
    // All are awaited: an answer that comes later would be an unhandled rejection.
    const answers = await Promise.allSettled(sent);
    const failed = answers.find((answer) => answer.status === "rejected");
    if (failed !== undefined) throw failed.reason;
    const { command } = await committed;
    if (command === "COMMIT") return;
    throw new RunStoreError("STORE_FAILED", `PostgreSQL answered a COMMIT with ${command}`);
  }

  #held(): ReadonlyMap<string, number | null> {
    const { instanceId } = this.#context;
    const held = new Map<string, number | null>();
    for (const { threadId, epoch, holder } of this.#threads.values()) {
      held.set(threadId, holder?.ownerId === instanceId ? epoch : null);
    }
    return held;
  }
}

const idsOf = (rows: readonly { readonly threadId: string }[]) =>
  textArray(rows.map(({ threadId }) => toStored(threadId)));

export function keyValues(runs: readonly RunKey[]): readonly Buffer[] {
  return [idsOf(runs), bigintArray(runs.map(({ epoch }) => epoch))];
}

function threadValues(rows: readonly ThreadRow[]): readonly Buffer[] {
  return [
    ...keyValues(rows),
    textArray(rows.map(({ holder }) => toStoredOrNull(holder?.runId ?? null))),
    textArray(rows.map(({ holder }) => holder?.ownerId ?? null)),
    bigintArray(rows.map(({ holder }) => holder?.claimNumber ?? null)),
    bigintArray(rows.map(({ stop }) => stop)),
    textArray(rows.map(({ resourceId }) => toStoredOrNull(resourceId ?? null))),
    textArray(rows.map(({ agentId }) => toStoredOrNull(agentId))),
    bigintArray(rows.map(({ runs }) => runs)),
  ];
}

function runValues(rows: readonly RunRow[]): readonly Buffer[] {
  return [
    ...keyValues(rows),
    textArray(rows.map(({ runId }) => toStored(runId))),
    textArray(rows.map(({ agentId }) => toStoredOrNull(agentId))),
    bigintArray(rows.map(({ finishedAt }) => finishedAt)),
    textArray(rows.map(({ input }) => input)),
    textArray(rows.map(({ events }) => events)),
  ];
}

function segmentValues(rows: readonly SegmentRow[]): readonly Buffer[] {
  const unique = [...new Map(rows.map((row) => [`${row.seq} ${keyOf(row)}`, row])).values()];
  return [
    ...keyValues(unique),
    bigintArray(unique.map(({ seq }) => seq)),
    textArray(unique.map(({ events }) => events)),
  ];
}
