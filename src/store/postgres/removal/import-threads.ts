import { setTimeout as delay } from "node:timers/promises";
import { RunStoreError } from "../../../protocol/errors.ts";
import type { ImportPart, MovedRun, MovedThread } from "../../../protocol/moved-threads.ts";
import { scalarFields } from "../../../runs/metadata-fields.ts";
import { nextEpoch, REMOVED_RUNS_EPOCH } from "../../../runs/moved-run.ts";
import { wordsOf } from "../../../runs/search-words.ts";
import { bigintArray, textArray } from "../binary-arrays.ts";
import type { Send } from "../connection.ts";
import { RowWrites, type RunRow } from "../row-writes.ts";
import { isTooLong, tooLong, toStored, toStoredOrNull } from "../stored-ids.ts";
import { jsonOf, packOf, RUNS_PER_PACK } from "../thread-messages.ts";
import { isKnown, type ThreadRow } from "../thread-row.ts";
import { toFieldKey, toResourceKey } from "../threads/list-keys.ts";
import { MAX_TITLE_WORDS } from "../threads/update-thread.ts";
import { finishRemoval, lockThread, type RemovalContext } from "./remove-thread.ts";

/** Milliseconds between two looks whether what is left of an earlier import is removed. */
const WAIT_MS = 5;

/** The same while another host imports the thread: it may be dead, which is known when its lease is over. */
const WAIT_FOR_HOST_MS = 100;

/** How long that is waited for, in milliseconds. */
const MAX_WAIT_MS = 60_000;

/** An import that has begun and not ended. */
interface OpenImport {
  readonly importId: string;
  /** By id, the digests of the messages in its runs: a run keeps those that no earlier run has. */
  readonly digests: Map<string, number>;
  /** The epoch of its last run. */
  epoch: number;
  runs: number;
}

type Prepared = Omit<RunRow, "threadId" | "epoch"> & { readonly moved: MovedRun };

/** An import within a transaction that has locked the row of its thread. */
interface LockedImport extends Pick<OpenImport, "epoch" | "runs"> {
  readonly row: ThreadRow;
}

/**
 * Makes threads of the runs of other stores, piece by piece, each in a transaction.
 *
 * Until its last piece, a thread is marked like a fork that is being made: it is unknown, no run gets it, and
 * what a dead host has left of it is removed.
 */
export class ThreadImports {
  readonly #context: RemovalContext;
  readonly #open = new Map<string, OpenImport>();

  constructor(context: RemovalContext) {
    this.#context = context;
  }

  /** Whether no import is open. */
  get isIdle(): boolean {
    return this.#open.size === 0;
  }

  /** @throws {RunStoreError} `THREAD_EXISTS`, `THREAD_ID_TOO_LONG`, `IMPORT_LOST` */
  async write(part: ImportPart): Promise<void> {
    const { threadId } = part.thread;
    const open = this.#open.get(threadId);
    if (!part.begins && open?.importId !== part.importId) throw importLost();
    const digests = part.begins ? new Map<string, number>() : (open?.digests ?? new Map());
    const prepared: Prepared[] = [];
    for (const run of part.runs) prepared.push(await this.#prepared(run, digests));
    try {
      for (;;) {
        const written = await this.#write(part, prepared);
        if (written !== null) {
          this.#open.set(threadId, { importId: part.importId, digests, ...written });
          break;
        }
        await this.#removeLeft(threadId);
      }
    } catch (error) {
      // What cannot be removed now is removed later: see `Removals.resume`.
      await this.abandon(threadId, part.importId).catch(() => undefined);
      throw part.begins && isTooLong(error) ? tooLong(threadId) : error;
    }
    if (!part.ends) return;
    this.#open.delete(threadId);
    this.#context.onChanged();
    this.#context.onRunsChanged(threadId);
  }

  /** Removes what there is of an import. Does nothing for one that is over. */
  async abandon(threadId: string, importId: string): Promise<void> {
    if (this.#open.get(threadId)?.importId !== importId) return;
    this.#open.delete(threadId);
    await this.#remove(threadId);
  }

  /** One transaction. Resolves with null if there is a row of the thread that is in the way. */
  #write(
    part: ImportPart,
    prepared: readonly Prepared[],
  ): Promise<Pick<OpenImport, "epoch" | "runs"> | null> {
    return this.#context.slices.one(async (send) => {
      const open = part.begins ? await this.#begin(send, part) : await this.#goOn(send, part);
      if (open === null) return null;
      const { threadId } = part.thread;
      let epoch = await this.#addMessages(send, part, open.epoch);
      const rows = prepared.map(({ moved, ...run }) => {
        epoch = nextEpoch(epoch, moved);
        return { ...run, threadId, epoch };
      });
      await this.#addRuns(send, open.row, rows, part.ends);
      const runs = open.runs + rows.length;
      if (part.ends) await this.#finish(send, part.thread, { epoch, runs });
      return { epoch, runs };
    });
  }

  async #prepared(moved: MovedRun, digests: Map<string, number>): Promise<Prepared> {
    const { messages, events, large } = await this.#context.compactor.import(moved);
    const added = messages.filter(([id, digest]) => digests.get(id) !== digest);
    for (const [id, digest] of added) digests.set(id, digest);
    const { runId, agentId, endedAt: finishedAt, input } = moved;
    // PostgreSQL's `text` has no character NUL, nor has JSON: only a text of another program can have it.
    const clean = (text: string) => text.replaceAll("\0", "");
    const texts = { events: clean(events), input: clean(input), messages: jsonOf(added) };
    return { moved, runId, agentId, finishedAt, large, ...texts };
  }

  async #begin(send: Send, { thread }: ImportPart): Promise<LockedImport | null> {
    const { statements, instanceId } = this.#context;
    const { threadId, resourceId, agentId } = thread;
    const id = toStored(threadId);
    const owner = [toStoredOrNull(resourceId), toStoredOrNull(agentId), instanceId];
    // The insertion waits for the removal of an earlier thread of this id, and so do those behind it.
    const [added, last, row] = await Promise.all([
      send(statements.addFork, [id, ...owner, 0]),
      send(statements.lastRemovedEpoch),
      lockThread(this.#context, send, threadId),
    ]);
    const [target] = added.rows as { readonly epoch: number }[];
    const [removed] = last.rows as { readonly last_epoch: number }[];
    if (target === undefined || row === null) return null;
    // The epochs of an earlier thread of this id never come again.
    return { epoch: Math.max(target.epoch, removed?.last_epoch ?? 0), runs: 0, row };
  }

  async #goOn(send: Send, { thread: { threadId } }: ImportPart): Promise<LockedImport> {
    const row = await lockThread(this.#context, send, threadId);
    const open = this.#open.get(threadId);
    // Another host took this one for dead.
    const isMine = row?.unfinished === "fork" && row.unfinishedBy === this.#context.instanceId;
    if (row === null || open === undefined || !isMine) throw importLost();
    return { epoch: open.epoch, runs: open.runs, row };
  }

  /** Messages of runs that the thread does not have. They come before all runs, as if they were of one run. */
  async #addMessages(
    send: Send,
    { thread, messages }: ImportPart,
    lastEpoch: number,
  ): Promise<number> {
    if (messages.length === 0) return lastEpoch;
    const epoch = lastEpoch + REMOVED_RUNS_EPOCH;
    await send(this.#context.statements.addMessages, [
      textArray([toStored(thread.threadId)]),
      bigintArray([epoch]),
      textArray([packOf([{ epoch, messages: jsonOf(messages) }])]),
    ]);
    return epoch;
  }

  async #addRuns(
    send: Send,
    row: ThreadRow,
    runs: readonly RunRow[],
    ends: boolean,
  ): Promise<void> {
    if (runs.length === 0) return;
    const { statements, compactor } = this.#context;
    const { threadId, values } = row;
    const writes = new RowWrites();
    for (const run of runs) writes.addRun(run);
    // A pack covers all runs since the pack before: what is left at the end is little.
    if (!ends || runs.length >= RUNS_PER_PACK) {
      for (let at = 0; at < runs.length; at += RUNS_PER_PACK) {
        const packed = runs.slice(at, at + RUNS_PER_PACK);
        const epoch = packed.at(-1)?.epoch ?? 0;
        writes.addPack({ threadId, epoch, messages: packOf(packed) });
      }
    }
    await writes.shareValues({ statements, compactor, send }, new Map([[threadId, row]]));
    const sent = writes.send(send, statements);
    if (row.values !== values) {
      const { version, lastLog } = row.values;
      sent.push(send(statements.saveValues, [toStored(threadId), version, lastLog]));
    }
    await Promise.all(sent);
  }

  async #finish(
    send: Send,
    thread: MovedThread,
    { epoch, runs }: Pick<OpenImport, "epoch" | "runs">,
  ): Promise<void> {
    const { statements } = this.#context;
    const { threadId, resourceId, title, archived, metadata, createdAt, updatedAt } = thread;
    const id = toStored(threadId);
    const agentId = toStoredOrNull(thread.agentId);
    const lastEpoch = Math.max(epoch, thread.epoch);
    const values = [id, lastEpoch, agentId, updatedAt];
    const origin = thread.forkedFrom === null ? null : JSON.stringify(thread.forkedFrom);
    const listed = [id, toResourceKey(resourceId), agentId, archived, createdAt, updatedAt];
    const sent = [
      send(statements.finishImport, values),
      send(statements.listImported, [...listed, toStoredOrNull(title), origin]),
    ];
    if (metadata !== "{}") {
      const fields = scalarFields(metadata).map(toFieldKey);
      sent.push(send(statements.setMetadata, [id, metadata, textArray(fields)]));
    }
    const words = [...wordsOf(title ?? "")].slice(0, MAX_TITLE_WORDS);
    if (words.length > 0) sent.push(send(statements.addTitleWords, [id, textArray(words)]));
    const [finished] = await Promise.all(sent);
    const [row] = (finished?.rows ?? []) as { readonly runs: number }[];
    if (row?.runs === runs) return;
    throw new RunStoreError("STORE_FAILED", "the runs of an import are not all stored");
  }

  async #remove(threadId: string): Promise<void> {
    const { slices, statements, instanceId } = this.#context;
    await slices.one((send) => send(statements.abandonFork, [toStored(threadId), instanceId]));
    await finishRemoval(this.#context, threadId);
  }

  /**
   * Removes what is left of an earlier thread of the id, or of an import that ended early.
   *
   * @throws {RunStoreError} `THREAD_EXISTS`: it is known, or a live host imports it or makes it as a fork.
   */
  async #removeLeft(threadId: string): Promise<void> {
    const { slices, statements, instanceId, isAlive, expectKnown } = this.#context;
    const deadline = performance.now() + MAX_WAIT_MS;
    for (;;) {
      const row = await slices.one((send) => lockThread(this.#context, send, threadId));
      if (row === null) return;
      const { unfinished, unfinishedBy } = row;
      if (isKnown(row)) throw threadExists();
      if (unfinished === null) return;
      if (unfinished === "fork") {
        const owner = unfinishedBy ?? "";
        await expectKnown([owner]);
        const isOwn = owner === instanceId;
        if (isOwn ? this.#open.has(threadId) : isAlive(owner)) {
          if (isOwn || performance.now() > deadline) throw threadExists();
          await delay(WAIT_FOR_HOST_MS);
          continue;
        }
        await slices.one((send) => send(statements.abandonFork, [toStored(threadId), owner]));
      }
      await finishRemoval(this.#context, threadId);
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
