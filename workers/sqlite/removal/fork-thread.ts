import { digestsOf } from "../../../src/events/message-digests.ts";
import { slotHasMessages } from "../../../src/events/shared/take-out.ts";
import { RunStoreError } from "../../../src/protocol/errors.ts";
import type { ForkThreadRequest } from "../../../src/protocol/messages.ts";
import { isVisible } from "../../../src/protocol/scope.ts";
import { expectChange } from "../database/fault.ts";
import { parseEvents } from "../database/parse-events.ts";
import { indexTitle } from "../threads/search-rows.ts";
import { ValueReader } from "../values/read-values.ts";
import { type ForkStatements, prepareForkStatements } from "./fork-statements.ts";
import { type RemovalContext, threadNotFound } from "./remove-thread.ts";
import type { IsOver, Slices } from "./slices.ts";
import { FORK } from "./unfinished.ts";

/** Rows that one statement reads or writes at most. The time is checked between rows. */
const ROWS = 16;

/**
 * Makes a thread whose runs are those of another one, up to a run.
 *
 * The rows of the runs are copied: other programs read a thread by the rows in `agent_runs`. The values in
 * logs are not copied. Both threads use the same logs, and the new thread only reads them.
 *
 * The new thread knows the messages of its runs, and those that it inherits of runs that were purged. It
 * does not know messages that only later runs of the other thread have.
 */
export class ThreadFork {
  readonly #context: RemovalContext;
  readonly #statements: ForkStatements;
  readonly #values: ValueReader;
  readonly #request: ForkThreadRequest;
  /** The last row to copy. */
  #upTo = 0;
  #copiedUpTo = 0;
  #copied = 0;
  #epoch = 0;
  /** The last row whose messages are known to be of a later run. */
  #laterUpTo = 0;
  readonly #later = new Set<string>();
  #messagesUpTo = "";

  constructor(context: RemovalContext, request: ForkThreadRequest) {
    this.#context = context;
    this.#statements = prepareForkStatements(context.db);
    this.#values = new ValueReader(context.statements);
    this.#request = request;
  }

  /** @throws {RunStoreError} `THREAD_NOT_FOUND`, `THREAD_EXISTS`, `RUN_NOT_FOUND` */
  async make(slices: Slices): Promise<void> {
    let isBegun = false;
    try {
      await slices.until((isOver) => {
        if (!isBegun) this.#begin();
        isBegun = true;
        return this.#copyMore(isOver);
      });
    } catch (error) {
      if (isBegun) await slices.one(() => this.#abandon());
      throw error;
    }
  }

  #begin(): void {
    const { removal, config } = this.#context;
    const { newThreadId, atRun, threadId } = this.#request;
    const resourceId = this.#expectSource();
    if (this.#isKnown(newThreadId)) {
      throw new RunStoreError("THREAD_EXISTS", "there is a thread of this id already");
    }
    const row =
      atRun === null
        ? removal.lastRowOfThread.get(threadId)
        : this.#statements.rowOfRun.get(threadId, atRun);
    if (row == null) throw new RunStoreError("RUN_NOT_FOUND", "the thread has no such run");
    this.#upTo = row;
    this.#laterUpTo = row;
    this.#copiedUpTo = 0;
    this.#copied = 0;
    const instance = config.instanceId;
    removal.insertUnfinished.run(newThreadId, resourceId, Number.MAX_SAFE_INTEGER, FORK, instance);
    removal.borrowLogs.run({ borrower: newThreadId, lender: threadId });
  }

  /** The resource of the thread that is forked. */
  #expectSource(): string | null {
    const { statements } = this.#context;
    const { threadId, scope } = this.#request;
    const resourceId = statements.resourceOfThread.get(threadId);
    if (resourceId === undefined || !isVisible(scope, resourceId)) throw threadNotFound();
    return resourceId;
  }

  #isKnown(threadId: string): boolean {
    const { statements, removal } = this.#context;
    if (statements.unfinishedThread.get(threadId) !== undefined) return true;
    if (statements.resourceOfThread.get(threadId) !== undefined) return true;
    return (removal.lastRowOfThread.get(threadId) ?? null) !== null;
  }

  #copyMore(isOver: IsOver): boolean {
    this.#expectSource();
    const { statements, config } = this.#context;
    const unfinished = statements.unfinishedThread.get(this.#request.newThreadId);
    const isMine = unfinished?.is_fork === FORK && unfinished.owner_id === config.instanceId;
    // Another instance took this one for dead.
    if (!isMine) throw threadNotFound();
    if (!this.#copyRuns(isOver) || !this.#readLater(isOver) || !this.#copyMessages(isOver)) {
      return false;
    }
    this.#finish();
    return true;
  }

  #copyRuns(isOver: IsOver): boolean {
    const { threadId, newThreadId } = this.#request;
    const { rowsBetween, copyRun, readRun } = this.#statements;
    for (;;) {
      const ids = rowsBetween.all(threadId, this.#copiedUpTo, this.#upTo, ROWS);
      if (ids.length === 0) return true;
      for (const id of ids) {
        const run = readRun.get(id);
        // Rows of version 1 have no epoch. Without one, the triggers take the copy for a run of version 1.
        this.#epoch = Math.max(this.#epoch, run?.epoch ?? 0);
        expectChange(copyRun.run(newThreadId, this.#epoch, id), "a run of a fork");
        this.#insertMessages(this.#messagesOf(run));
        this.#copiedUpTo = id;
        this.#copied++;
        if (isOver()) return false;
      }
    }
  }

  /** Collects the ids of messages in runs behind the fork. */
  #readLater(isOver: IsOver): boolean {
    const { rowsBetween, readRun } = this.#statements;
    for (;;) {
      const last = Number.MAX_SAFE_INTEGER;
      const ids = rowsBetween.all(this.#request.threadId, this.#laterUpTo, last, ROWS);
      if (ids.length === 0) return true;
      for (const id of ids) {
        for (const [messageId] of this.#messagesOf(readRun.get(id))) this.#later.add(messageId);
        this.#laterUpTo = id;
        if (isOver()) return false;
      }
    }
  }

  /** Copies the messages that are neither in a copied run nor in a later one: those of purged runs. */
  #copyMessages(isOver: IsOver): boolean {
    const { messagesAfter, inheritMessage } = this.#statements;
    const { threadId, newThreadId } = this.#request;
    for (;;) {
      const rows = messagesAfter.all(threadId, this.#messagesUpTo, ROWS * ROWS);
      if (rows.length === 0) return true;
      for (const { message_id: id, digest } of rows) {
        this.#messagesUpTo = id;
        if (!this.#later.has(id)) inheritMessage.run(newThreadId, id, digest);
      }
      if (isOver()) return false;
    }
  }

  #messagesOf(row: Parameters<ValueReader["eventsOf"]>[0] | undefined) {
    if (row === undefined) return [];
    return digestsOf(parseEvents(this.#values.eventsOf(row, slotHasMessages)) ?? []);
  }

  #insertMessages(messages: readonly (readonly [string, number])[]): void {
    if (messages.length === 0) return;
    const json = JSON.stringify(messages.map(([id, digest]) => [id.toWellFormed(), digest]));
    this.#context.statements.insertMessages.run(this.#request.newThreadId, json);
  }

  #finish(): void {
    const { removal } = this.#context;
    const { threadId, newThreadId } = this.#request;
    const last = removal.lastRowOfThread.get(newThreadId) ?? 0;
    const made = this.#statements.insertFork.run({
      newThreadId,
      threadId,
      now: Date.now(),
      runs: this.#copied,
      last,
      forkedRow: this.#upTo,
    });
    expectChange(made, "a fork");
    this.#statements.copyMetadataFields.run({ newThreadId, threadId });
    const title = this.#statements.titleOf.get(newThreadId) ?? null;
    if (title !== null) indexTitle(this.#context.statements, newThreadId, title);
    removal.endUnfinished.run(newThreadId);
  }

  #abandon(): void {
    const { removal } = this.#context;
    const { newThreadId } = this.#request;
    removal.abandonFork.run(newThreadId);
    removal.endBorrowing.run(newThreadId);
  }
}
