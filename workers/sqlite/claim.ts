import type { ClaimOp, OpResult } from "../../src/protocol/messages.ts";
import { forgetKeptJournal } from "./journal.ts";
import { hasLiveOwner } from "./ownership.ts";
import { recoverRun } from "./recover.ts";
import { STOP_AND_DISCARD } from "./stop-requests.ts";
import type { WriterContext } from "./writer-context.ts";

function refuse(code: "RUN_ID_TAKEN" | "THREAD_ALREADY_RUNNING", message: string): OpResult {
  return { ok: false, fault: { code, message } };
}

/**
 * Takes a thread for a run, unless a live owner holds it or the run id is used.
 *
 * A run of this very instance never stands in the way: the main thread knows which of its runs
 * are active and asks only when none is, so what is left here under its name is an orphan.
 */
export function claim(context: WriterContext, op: ClaimOp): OpResult {
  const { statements, config } = context;
  const { threadId, runId } = op;
  const known = context.messages.epochOf(threadId);
  if (known !== undefined && takeKnown(context, op, known)) {
    return claimed(context, op, known + 1);
  }
  if (statements.isRunIdUsed.get(runId, runId, runId) === 1) {
    const answer = claimUsedId(context, op);
    if (answer !== null) return answer;
  }
  const take = () => statements.takeFreeThread.get(threadId, runId, config.instanceId, Date.now());
  let epoch = take();
  if (epoch === undefined) {
    const state = statements.stateOfThread.get(threadId);
    if (state === undefined) throw new Error("a thread without a state could not be taken");
    const isOwn = state.owner_id === config.instanceId;
    if (!isOwn && hasLiveOwner(context, state)) {
      if (op.supersede) statements.requestEnd.run(STOP_AND_DISCARD, threadId);
      return refuse("THREAD_ALREADY_RUNNING", "Thread already running");
    }
    recoverRun(context, state, { keep: true });
    epoch = take();
    if (epoch === undefined) throw new Error("a thread that was freed could not be taken");
  }
  return claimed(context, op, epoch);
}

/**
 * Takes a free thread that this instance was the last to hold, for a run whose id is not used: what
 * most claims are, in one statement. False when anything of it is not so.
 */
function takeKnown({ statements, config }: WriterContext, op: ClaimOp, epoch: number): boolean {
  const { threadId, runId } = op;
  const { instanceId } = config;
  const ids = [runId, runId, runId] as const;
  return (
    statements.takeThreadOfEpoch.run(runId, instanceId, Date.now(), threadId, epoch, ...ids)
      .changes === 1
  );
}

function claimed({ messages }: WriterContext, op: ClaimOp, epoch: number): OpResult {
  const seen = messages.seen(messages.recentOf(op.threadId, epoch), op.messageIds);
  return { ok: true, claim: { epoch, seen } };
}

/**
 * A claim for a run id that is used: refused, unless it is this claim that used it. Null when the
 * run that bore the id is over and has left nothing.
 */
function claimUsedId(context: WriterContext, op: ClaimOp): OpResult | null {
  const { statements, config } = context;
  const { runId, threadId } = op;
  const holder = statements.holderOfRun.get(runId);
  const isOwn = holder?.owner_id === config.instanceId && holder.thread_id === threadId;
  if (isOwn && holder.epoch !== null) {
    // The batch with this claim was committed before, and its acknowledgement was lost.
    return claimed(context, op, holder.epoch);
  }
  const isLive = hasLiveOwner(context, holder);
  if (holder !== undefined && !isLive) recoverRun(context, holder, { keep: true });
  if (isLive || statements.storedRunEpoch.get(runId) !== undefined) {
    return refuse("RUN_ID_TAKEN", `a run with the id ${JSON.stringify(runId)} exists already`);
  }
  // Before anyone takes it for the journal of this run, which may come to have none.
  forgetKeptJournal(context, runId);
  return null;
}
