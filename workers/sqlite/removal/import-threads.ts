import { setTimeout as delay } from "node:timers/promises";
import type { MessageDigest } from "../../../src/events/message-digests.ts";
import { RunStoreError } from "../../../src/protocol/errors.ts";
import type { ImportPart } from "../../../src/protocol/moved-threads.ts";
import { scalarFields } from "../../../src/runs/metadata-fields.ts";
import { nextEpoch, REMOVED_RUNS_EPOCH } from "../../../src/runs/moved-run.ts";
import { expectChange } from "../database/fault.ts";
import { insertRun } from "../runs/store-run.ts";
import { indexTitle } from "../threads/search-rows.ts";
import { type ImportStatements, prepareImportStatements } from "./import-statements.ts";
import { PreparedRun } from "./prepared-run.ts";
import { continueRemoval, type RemovalContext } from "./remove-thread.ts";
import type { Slices } from "./slices.ts";
import { IMPORT, REMOVAL } from "./unfinished.ts";

/** Milliseconds between two looks whether what is left of an earlier import is removed. */
const WAIT_MS = 5;

/** UTF-16 units of runs that are read without a pause, unless a single text is longer. */
const AT_ONCE = 128 * 1024;

/** An import that has begun and not ended. */
interface OpenImport {
  readonly importId: string;
  /** The epoch of its last run. */
  epoch: number;
  runs: number;
  /** The row of its last run. */
  lastRow: number;
  knowsMore: boolean;
}

/**
 * Makes threads of the runs of other stores, piece by piece.
 *
 * Until its last piece, a thread is in `unfinished_threads`, like a fork that is being made: it is unknown, no
 * run gets it, and what a dead instance has left of it is removed. Its row in `run_state` is deleted at the
 * beginning, as for a removal, so that no instance takes the thread by what it remembers of it.
 */
export class ThreadImports {
  readonly #context: RemovalContext;
  readonly #slices: Slices;
  readonly #statements: ImportStatements;
  readonly #open = new Map<string, OpenImport>();

  constructor(context: RemovalContext, slices: Slices) {
    this.#context = context;
    this.#slices = slices;
    this.#statements = prepareImportStatements(context.db);
  }

  /** Whether no import is open. */
  get isIdle(): boolean {
    return this.#open.size === 0;
  }

  /** @throws {RunStoreError} `THREAD_EXISTS`, `IMPORT_LOST` */
  async write(part: ImportPart): Promise<void> {
    const { threadId } = part.thread;
    if (!part.begins) this.#opened(part);
    else if (this.#context.statements.unfinishedThread.get(threadId) !== undefined) {
      await this.#removeLeft(threadId);
    }
    try {
      await this.#write(part);
    } catch (error) {
      // What cannot be removed now is removed later: see `Removals.resume`.
      await this.abandon(threadId, part.importId).catch(() => undefined);
      throw error;
    }
  }

  /** Removes what there is of an import. Does nothing for one that is over. */
  async abandon(threadId: string, importId: string): Promise<void> {
    if (this.#open.get(threadId)?.importId === importId) await this.#end(threadId);
  }

  async #write(part: ImportPart): Promise<void> {
    const { threadId } = part.thread;
    const prepared = await this.#prepared(part);
    let isBegun = false;
    let at = 0;
    await this.#slices.until((isOver) => {
      if (!isBegun) this.#begin(part);
      isBegun = true;
      this.#expectMine(threadId);
      while (at < prepared.length) {
        this.#add(threadId, prepared[at++] as PreparedRun);
        if (isOver()) return false;
      }
      if (part.ends) this.#finish(part);
      return true;
    });
    if (part.ends) this.#open.delete(threadId);
  }

  /** Reads the runs of a piece. The batches of other runs do not wait for all of it. */
  async #prepared({ runs }: ImportPart): Promise<readonly PreparedRun[]> {
    let length = 0;
    const prepared: PreparedRun[] = [];
    for (const run of runs) {
      const next = new PreparedRun(run);
      prepared.push(next);
      for (const text of run.events) {
        length += text.length;
        if (length > AT_ONCE) {
          await this.#slices.look(() => undefined);
          length = 0;
        }
        next.readOn();
      }
    }
    return prepared;
  }

  #begin(part: ImportPart): void {
    const { threadId } = part.thread;
    if (part.begins) this.#open.set(threadId, this.#beginThread(part));
    if (part.messages.length === 0) return;
    // Before the runs: what these say of a message is later.
    this.#insertMessages(threadId, part.messages);
    const open = this.#openOf(threadId);
    open.knowsMore = true;
    open.epoch = Math.max(open.epoch, REMOVED_RUNS_EPOCH);
  }

  #beginThread({ thread, importId }: ImportPart): OpenImport {
    const { statements, removal, config } = this.#context;
    const { threadId, resourceId } = thread;
    const state = statements.stateOfThread.get(threadId);
    const isKnown =
      statements.unfinishedThread.get(threadId) !== undefined ||
      statements.resourceOfThread.get(threadId) !== undefined ||
      (removal.lastRowOfThread.get(threadId) ?? null) !== null ||
      // A version 1 runner that executes the first run of a thread has no other row of it.
      state?.is_running === 1;
    if (isKnown) throw threadExists();
    if (state !== undefined) {
      removal.raiseRemovedEpoch.run((state.epoch ?? 0) + 1);
      removal.deleteState.run(threadId);
    }
    this.#context.messages.forget(threadId);
    const instance = config.instanceId;
    removal.insertUnfinished.run(threadId, resourceId, Number.MAX_SAFE_INTEGER, IMPORT, instance);
    return { importId, epoch: 0, runs: 0, lastRow: 0, knowsMore: false };
  }

  #add(threadId: string, prepared: PreparedRun): void {
    const open = this.#openOf(threadId);
    const { run } = prepared;
    open.epoch = nextEpoch(open.epoch, run);
    const { runId, agentId, endedAt: finishedAt } = run;
    const row = { threadId, runId, epoch: open.epoch, agentId, finishedAt };
    open.lastRow = insertRun(this.#context, row, prepared.takenOut());
    open.runs++;
    this.#insertMessages(threadId, prepared.messages);
  }

  #insertMessages(threadId: string, messages: readonly MessageDigest[]): void {
    if (messages.length === 0) return;
    const json = JSON.stringify(messages.map(([id, digest]) => [id.toWellFormed(), digest]));
    this.#context.statements.insertMessages.run(threadId, json);
  }

  #finish({ thread }: ImportPart): void {
    const { statements, removal } = this.#context;
    const { threadId, title, metadata, forkedFrom, updatedAt, agentId } = thread;
    const { epoch, runs, lastRow: last, knowsMore } = this.#openOf(threadId);
    if (this.#statements.countRuns.get(threadId) !== runs) {
      throw new RunStoreError("STORE_FAILED", "the runs of an import are not all stored");
    }
    const fields = scalarFields(metadata);
    this.#statements.insertImported.run({
      ...thread,
      metadata: metadata === "{}" ? null : metadata,
      archived: thread.archived ? 1 : 0,
      forkedFrom: forkedFrom === null ? null : JSON.stringify(forkedFrom),
      ...{ runs, last, knowsMore: knowsMore ? 1 : 0 },
    });
    for (const field of fields) statements.insertMetadataField.run(...field, threadId);
    this.#statements.markFactsStale.run(threadId);
    if (title !== null) indexTitle(statements, threadId, title);
    const first = statements.lastRemovedEpoch.get() ?? 0;
    const lastEpoch = Math.max(epoch, thread.epoch, first);
    const inserted = this.#statements.insertState.run({
      ...{ threadId, epoch: lastEpoch, updatedAt, agentId },
    });
    expectChange(inserted, "the state of an imported thread");
    removal.endUnfinished.run(threadId);
  }

  #openOf(threadId: string): OpenImport {
    const open = this.#open.get(threadId);
    if (open === undefined) throw importLost();
    return open;
  }

  #opened({ thread, importId }: ImportPart): void {
    if (this.#openOf(thread.threadId).importId !== importId) throw importLost();
  }

  /** Another instance may have taken this one for dead, and removed what there was of the thread. */
  #expectMine(threadId: string): void {
    const { statements, config } = this.#context;
    const unfinished = statements.unfinishedThread.get(threadId);
    const isMine = unfinished?.is_fork === IMPORT && unfinished.owner_id === config.instanceId;
    if (!isMine) throw importLost();
  }

  async #end(threadId: string): Promise<void> {
    this.#open.delete(threadId);
    await this.#slices.one(() => this.#context.removal.abandonFork.run(threadId));
    await this.#slices.until((isOver) => continueRemoval(this.#context, threadId, isOver));
  }

  /**
   * Removes what is left of an earlier thread of the id, or of an import that ended early.
   *
   * @throws {RunStoreError} `THREAD_EXISTS`: a live instance imports it or makes it as a fork.
   */
  async #removeLeft(threadId: string): Promise<void> {
    const { statements, liveness, config, removal } = this.#context;
    for (;;) {
      const left = await this.#slices.look(() => statements.unfinishedThread.get(threadId));
      if (left === undefined) return;
      if (left.is_fork !== REMOVAL) {
        const isOurs = left.owner_id === config.instanceId;
        const isLive = isOurs ? this.#open.has(threadId) : liveness.isAlive(left.owner_id);
        if (isLive) throw threadExists();
        await this.#slices.one(() => removal.abandonFork.run(threadId));
      }
      await this.#slices.until((isOver) => continueRemoval(this.#context, threadId, isOver));
      await delay(WAIT_MS);
    }
  }
}

function importLost(): RunStoreError {
  return new RunStoreError("IMPORT_LOST", "the import of this thread was over before it was whole");
}

function threadExists(): RunStoreError {
  return new RunStoreError("THREAD_EXISTS", "there is a thread of this id already");
}
