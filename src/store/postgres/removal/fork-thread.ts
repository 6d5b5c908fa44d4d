import { RunStoreError } from "../../../protocol/errors.ts";
import type { ForkThreadRequest } from "../../../protocol/messages.ts";
import { isVisible } from "../../../protocol/scope.ts";
import { newVersion } from "../../../runs/shared-runs.ts";
import { bigintArray, textArray } from "../binary-arrays.ts";
import type { Send } from "../connection.ts";
import type { ThreadColumns } from "../statements.ts";
import { fromStored, isTooLong, tooLong, toStored, toStoredOrNull } from "../stored-ids.ts";
import { forkedPack } from "../thread-messages.ts";
import { isKnown, type ThreadRow, threadRowOf } from "../thread-row.ts";
import { toResourceKey } from "../threads/list-keys.ts";
import { lockThread, type RemovalContext, ROWS, threadNotFound } from "./remove-thread.ts";
import { sweepThread } from "./shorten-thread.ts";

/** Bytes that one transaction copies at most, unless one row alone has more. */
const BYTES = 4 * 1024 * 1024;

/** How far the copy has come: positions in the source. */
interface Progress {
  readonly log: number;
  readonly at: number;
  readonly epoch: number;
  readonly packUpTo: number;
  readonly step: "values" | "runs" | "messages" | "done";
}

const BEGIN: Progress = { log: 0, at: -1, epoch: 0, packUpTo: 0, step: "values" };

/** The last run that both threads have, and what the new thread began with. */
interface Begun {
  readonly epoch: number;
  readonly runId: string;
  /** Whether the source has runs behind it. */
  readonly isCut: boolean;
  /** What is added to the epochs of the source: those of an earlier thread of the new id never come again. */
  readonly base: number;
  readonly resourceId: string | null;
  readonly lastLog: number;
  /** See `ThreadRow.madeAt`. */
  readonly madeAt: string | null;
}

/**
 * Makes a thread whose runs are those of another one, up to a run. Everything is copied, within the server: the
 * rows of a thread are in one place, whoever else has the same. The new thread is unknown until it is whole.
 *
 * The values of the runs are copied first: a purge that removes runs meanwhile sweeps what only they use, and the
 * runs that are copied after it use nothing of that.
 */
export class ThreadFork {
  readonly #context: RemovalContext;
  readonly #request: ForkThreadRequest;
  readonly #source: string;
  readonly #target: string;

  constructor(context: RemovalContext, request: ForkThreadRequest) {
    this.#context = context;
    this.#request = request;
    this.#source = toStored(request.threadId);
    this.#target = toStored(request.newThreadId);
  }

  /** @throws {RunStoreError} `THREAD_NOT_FOUND`, `THREAD_EXISTS`, `THREAD_ID_TOO_LONG`, `RUN_NOT_FOUND` */
  async make(): Promise<void> {
    const { slices, onChanged, onRunsChanged } = this.#context;
    const { newThreadId } = this.#request;
    const begun = await slices
      .one((send) => this.#begin(send))
      .catch((error: unknown) => {
        throw isTooLong(error) ? tooLong(newThreadId) : error;
      });
    try {
      let progress = BEGIN;
      let next = BEGIN;
      const copy = async (send: Send): Promise<boolean> => {
        await this.#expectBoth(send, begun);
        next = await this.#copyMore(send, begun, progress);
        if (next.step === "done") await this.#finish(send, begun);
        return next.step === "done";
      };
      // Only what is committed counts: a transaction that fails is tried again.
      const afterSlice = () => {
        progress = next;
      };
      await slices.until(copy, { afterSlice });
    } catch (error) {
      const { statements, instanceId } = this.#context;
      // If this fails, too, what is left of the fork is removed as after the end of this process.
      const abandon = (send: Send) => send(statements.abandonFork, [this.#target, instanceId]);
      await slices.one(abandon).catch(() => undefined);
      throw error;
    }
    onChanged();
    onRunsChanged(newThreadId);
    if (begun.isCut) await sweepThread(this.#context, newThreadId);
  }

  async #begin(send: Send): Promise<Begun> {
    const { statements, instanceId } = this.#context;
    const { atRun } = this.#request;
    const source = await this.#expectSource(send);
    const { rows: taken } = await send(statements.readThread, [this.#target]);
    const [existing] = taken as ThreadColumns[];
    const row = existing === undefined ? null : threadRowOf(existing);
    if (row !== null && (row.unfinished !== null || isKnown(row))) throw threadExists();
    const { rows } = await send(statements.runToFork, [this.#source, toStoredOrNull(atRun)]);
    const [run] = rows as { readonly epoch: number; readonly run_id: string }[];
    if (run === undefined) throw new RunStoreError("RUN_NOT_FOUND", "the thread has no such run");
    const { resourceId = null, agentId, values, madeAt } = source;
    const added = await send(statements.addFork, [
      this.#target,
      toStoredOrNull(resourceId),
      toStoredOrNull(agentId),
      instanceId,
      values.lastLog,
    ]);
    const [target] = added.rows as { readonly epoch: number }[];
    if (target === undefined) throw threadExists();
    // Behind the insertion: it has waited for the removal of an earlier thread of this id.
    const [removed] = (await send(statements.lastRemovedEpoch)).rows as { last_epoch: number }[];
    const base = Math.max(target.epoch, removed?.last_epoch ?? 0);
    const last = (await send(statements.runToFork, [this.#source, null])).rows as typeof rows;
    return {
      epoch: run.epoch,
      runId: fromStored(run.run_id),
      isCut: last[0]?.epoch !== run.epoch,
      ...{ base, resourceId, lastLog: values.lastLog, madeAt },
    };
  }

  /** The row of the thread that is forked. It is not removed before the transaction ends. */
  async #expectSource(send: Send): Promise<ThreadRow> {
    const { rows } = await send(this.#context.statements.keepThread, [this.#source]);
    const [columns] = rows as ThreadColumns[];
    const row = columns === undefined ? null : threadRowOf(columns);
    if (!isKnown(row) || !isVisible(this.#request.scope, row.resourceId ?? null)) {
      throw threadNotFound();
    }
    return row;
  }

  async #expectBoth(send: Send, { madeAt }: Begun): Promise<void> {
    const source = await this.#expectSource(send);
    // It was removed meanwhile, and made again.
    if (source.madeAt !== madeAt) throw threadNotFound();
    const { instanceId } = this.#context;
    const target = await lockThread(this.#context, send, this.#request.newThreadId);
    // Another host took this one for dead, and may make a thread of the same id.
    const isMine = target?.unfinished === "fork" && target.unfinishedBy === instanceId;
    if (!isMine) throw threadNotFound();
  }

  /** Copies as much as one transaction may. */
  async #copyMore(send: Send, begun: Begun, progress: Progress): Promise<Progress> {
    switch (progress.step) {
      case "values":
        return this.#copyValues(send, begun, progress);
      case "runs":
        return this.#copyRuns(send, begun, progress);
      case "messages":
        return this.#copyMessages(send, begun, progress);
      case "done":
        return progress;
    }
  }

  async #copyValues(send: Send, { lastLog }: Begun, progress: Progress): Promise<Progress> {
    const { log, at } = progress;
    const values = [this.#source, this.#target, lastLog, log, at, ROWS, BYTES];
    const { rows } = await send(this.#context.statements.copyValues, values);
    const copied = rows as { readonly log: number; readonly at: number }[];
    if (copied.length === 0) return { ...progress, step: "runs" };
    const last = copied.reduce((a, b) =>
      b.log > a.log || (b.log === a.log && b.at > a.at) ? b : a,
    );
    return { ...progress, log: last.log, at: last.at };
  }

  async #copyRuns(send: Send, begun: Begun, progress: Progress): Promise<Progress> {
    const between = [begun.base, progress.epoch, begun.epoch];
    const values = [this.#source, this.#target, ...between, ROWS, BYTES];
    const { rows } = await send(this.#context.statements.copyRuns, values);
    const epochs = (rows as { readonly epoch: number }[]).map(({ epoch }) => epoch);
    if (epochs.length === 0) return { ...progress, step: "messages" };
    return { ...progress, epoch: Math.max(...epochs) };
  }

  /** The messages of the copied runs that are packed, and of runs before them that were purged. */
  async #copyMessages(send: Send, { base, epoch }: Begun, progress: Progress): Promise<Progress> {
    if (progress.packUpTo >= epoch) return { ...progress, step: "done" };
    const { messagesToFork, addMessages } = this.#context.statements;
    const { rows } = await send(messagesToFork, [this.#source, progress.packUpTo, ROWS]);
    const packs = rows as { readonly up_to: number; readonly messages: string }[];
    const last = packs.at(-1);
    if (last === undefined) return { ...progress, step: "done" };
    await send(addMessages, [
      textArray(packs.map(() => this.#target)),
      bigintArray(packs.map(({ up_to }) => base + Math.min(up_to, epoch))),
      textArray(packs.map(({ messages }) => forkedPack(messages, epoch, base))),
    ]);
    return { ...progress, packUpTo: last.up_to };
  }

  async #finish(send: Send, begun: Begun): Promise<void> {
    const { statements } = this.#context;
    const { threadId } = this.#request;
    const { base, epoch, runId, resourceId, isCut } = begun;
    await send(statements.dropRunsBefore, [this.#source, this.#target, base]);
    const next = isCut ? "sweep" : null;
    await send(statements.finishFork, [this.#target, base + epoch, newVersion(), next]);
    const [source] = (await send(statements.readThread, [this.#source])).rows as ThreadColumns[];
    const origin = JSON.stringify({ threadId, runId });
    await send(statements.listFork, [
      this.#source,
      this.#target,
      toResourceKey(resourceId),
      source?.agent_id ?? null,
      Date.now(),
      origin,
    ]);
    await send(statements.copyMetadata, [this.#source, this.#target]);
    await send(statements.copyTitleWords, [this.#source, this.#target]);
  }
}

function threadExists(): RunStoreError {
  return new RunStoreError("THREAD_EXISTS", "there is a thread of this id already");
}
