import type { OpResult, WriterOp } from "../../../src/protocol/messages.ts";
import { concernsWholeFile, toFault } from "../database/fault.ts";
import { inTransaction } from "../database/transaction.ts";
import { beat } from "../instances/instances.ts";
import { updateThread } from "../threads/update-thread.ts";
import { claim } from "./claim.ts";
import { compact, finish } from "./finish.ts";
import { settleInterrupted, takeInterrupted } from "./interrupted-runs.ts";
import { append } from "./journal.ts";
import { confirm } from "./lease.ts";
import { giveUp, release, withdraw } from "./release.ts";
import { requestStop } from "./stop-requests.ts";
import { forgetUncommitted, type WriterContext } from "./writer-context.ts";

function apply(context: WriterContext, op: WriterOp): OpResult {
  switch (op.kind) {
    case "claim":
      return claim(context, op);
    case "append":
      return append(context, op);
    case "finish":
      return finish(context, op);
    case "release":
      return release(context, op);
    case "compact":
      return compact(context, op);
    case "withdraw":
      return withdraw(context, op);
    case "giveUp":
      return giveUp(context, op);
    case "confirm":
      return confirm(context, op);
    case "stop":
      return requestStop(context, op);
    case "take":
      return takeInterrupted(context, op);
    case "settle":
      return settleInterrupted(context, op);
    case "updateThread":
      return updateThread(context.statements, op);
  }
}

function applyAlone(context: WriterContext, op: WriterOp): OpResult {
  const { statements } = context;
  statements.savepoint.run();
  context.journals.load();
  try {
    const result = apply(context, op);
    statements.releaseSavepoint.run();
    return result;
  } catch (error) {
    forgetUncommitted(context);
    if (concernsWholeFile(error)) throw error;
    statements.rollbackToSavepoint.run();
    statements.releaseSavepoint.run();
    return { ok: false, fault: toFault(error) };
  }
}

/** Writes the row of this instance if it is missing: a backup may have been restored into the file. */
function putRowBack(context: WriterContext): void {
  const { statements, config } = context;
  if (statements.instance.get(config.instanceId) === undefined) beat(context);
}

function applyAll(
  context: WriterContext,
  ops: readonly WriterOp[],
  applyOne: (context: WriterContext, op: WriterOp) => OpResult,
): OpResult[] {
  try {
    return inTransaction(context, () => {
      context.journals.load();
      if (context.messages.begin()) putRowBack(context);
      const results = ops.map((op) => applyOne(context, op));
      context.journals.sweep();
      context.touches.write();
      return results;
    });
  } catch (error) {
    forgetUncommitted(context);
    throw error;
  }
}

/**
 * Commits a batch in one transaction, in order. Throws an error of the file or the disk, which fails the
 * whole batch.
 *
 * When a single operation fails, the batch is tried a second time with a savepoint for each operation,
 * so that the other operations succeed. Savepoints are rarely needed, and too slow for every batch.
 */
export function commitBatch(context: WriterContext, ops: readonly WriterOp[]): OpResult[] {
  try {
    return applyAll(context, ops, apply);
  } catch (error) {
    if (concernsWholeFile(error)) throw error;
    return applyAll(context, ops, applyAlone);
  }
}
