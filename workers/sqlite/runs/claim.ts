import type { ClaimOp, OpResult } from "../../../src/protocol/messages.ts";
import { decideClaim } from "../../../src/runs/claim.ts";
import { messagesSeen } from "../../../src/runs/messages-seen.ts";
import { holderOf } from "../instances/ownership.ts";
import { recoverRun } from "./recover.ts";
import { STOP_AND_DISCARD } from "./stop-requests.ts";
import type { WriterContext } from "./writer-context.ts";

const HELD: OpResult<"claim"> = { ok: true, claim: null };

/** Takes a thread for a run, unless a live owner holds it: see `decideClaim`. */
export function claim(context: WriterContext, op: ClaimOp): OpResult<"claim"> {
  const { statements, config } = context;
  const { threadId, runId, number } = op;
  const { instanceId } = config;
  const known = context.messages.epochOf(threadId);
  if (known !== undefined && takeKnown(context, op, known)) {
    return claimed(context, op, known + 1);
  }
  const first = firstEpochOf(context, threadId);
  const take = () =>
    statements.takeFreeThread.get(threadId, runId, instanceId, number, Date.now(), first);
  let epoch = take();
  if (epoch === undefined) {
    const state = statements.stateOfThread.get(threadId);
    if (state === undefined) throw new Error("a thread without a state could not be taken");
    const holder = holderOf(context, state);
    const decision = decideClaim({ instanceId, claimNumber: number, holder });
    if (decision.kind === "repeat") return claimed(context, op, decision.epoch);
    if (decision.kind === "refuse") {
      if (op.supersede) statements.requestEnd.run(STOP_AND_DISCARD, threadId);
      return HELD;
    }
    recoverRun(context, state, { retain: true });
    epoch = take();
    if (epoch === undefined) throw new Error("a thread that was freed could not be taken");
  }
  return claimed(context, op, epoch);
}

/**
 * The first epoch of a thread without a row in `run_state`. Such a thread is new, or its row was
 * deleted. `takeFreeThread` ignores this number if there is a row.
 */
function firstEpochOf({ statements }: WriterContext, threadId: string): number {
  if (statements.stateOfThread.get(threadId) !== undefined) return 1;
  return 1 + (statements.lastEpochOfThread.get(threadId) ?? 0);
}

/**
 * Takes a free thread that this instance held last. This common case needs one statement. Returns false
 * if the thread is not free, or if another instance has held it since.
 */
function takeKnown({ statements, config }: WriterContext, op: ClaimOp, epoch: number): boolean {
  const { threadId, runId, number } = op;
  const { instanceId } = config;
  const now = Date.now();
  return (
    statements.takeThreadOfEpoch.run(runId, instanceId, number, now, threadId, epoch).changes === 1
  );
}

function claimed({ messages }: WriterContext, op: ClaimOp, epoch: number): OpResult<"claim"> {
  const recent = messages.recentOf(op.threadId, epoch);
  const known = messagesSeen(op, (id) => messages.digestOf(recent, id));
  return { ok: true, claim: { epoch, ...known } };
}
