import type { ClaimOp, OpResult } from "../../../src/protocol/messages.ts";
import { belongsTo, decideClaim } from "../../../src/runs/claim.ts";
import { messagesSeen } from "../../../src/runs/messages-seen.ts";
import { holderOf } from "../instances/ownership.ts";
import { recoverRun } from "./recover.ts";
import { STOP_AND_DISCARD } from "./stop-requests.ts";
import type { WriterContext } from "./writer-context.ts";

const HELD: OpResult<"claim"> = {
  ok: true,
  claim: null,
  refusal: "THREAD_ALREADY_RUNNING",
};

const NOT_FOUND: OpResult<"claim"> = { ok: true, claim: null, refusal: "THREAD_NOT_FOUND" };

/**
 * Takes a thread for a run, unless it belongs to another resource, or a live owner holds it: see
 * `decideClaim`.
 */
export function claim(context: WriterContext, op: ClaimOp): OpResult<"claim"> {
  const { statements, config } = context;
  const { threadId, runId, number } = op;
  const { instanceId } = config;
  const known = context.messages.lastClaimOf(threadId);
  if (known?.resourceId === op.resourceId && takeKnown(context, op, known.epoch)) {
    return claimed(context, op, known.epoch + 1);
  }
  const unfinished = statements.unfinishedThread.get(threadId);
  if (unfinished !== undefined) {
    return belongsTo(unfinished.resource_id, op.resourceId) ? HELD : NOT_FOUND;
  }
  if (!giveToResource(context, op)) return NOT_FOUND;
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
 * Whether the thread belongs to the resource of the claim. The first claim of a thread gives it to its
 * resource.
 */
function giveToResource({ statements }: WriterContext, op: ClaimOp): boolean {
  const { threadId, agentId, resourceId } = op;
  const owner = statements.resourceOfThread.get(threadId);
  if (!belongsTo(owner, resourceId)) return false;
  if (owner === undefined) {
    const now = Date.now();
    statements.insertThread.run(threadId, agentId, resourceId, now, now);
  }
  return true;
}

/**
 * The first epoch of a thread without a row in `run_state`. Such a thread is new, or its row was
 * deleted. `takeFreeThread` ignores this number if there is a row.
 */
function firstEpochOf({ statements }: WriterContext, threadId: string): number {
  if (statements.stateOfThread.get(threadId) !== undefined) return 1;
  const last = statements.lastEpochOfThread.get(threadId) ?? 0;
  return 1 + Math.max(last, statements.lastRemovedEpoch.get() ?? 0);
}

/**
 * Takes a free thread that this instance held last. This common case needs one statement. Returns false
 * if the thread is not free, if another instance has held it since, or if it was removed since: a thread
 * that is made again begins with a higher epoch.
 */
function takeKnown({ statements, config }: WriterContext, op: ClaimOp, epoch: number): boolean {
  const { threadId, runId, number } = op;
  const { instanceId } = config;
  const now = Date.now();
  return (
    statements.takeThreadOfEpoch.run(runId, instanceId, number, now, threadId, epoch).changes === 1
  );
}

function claimed(context: WriterContext, op: ClaimOp, epoch: number): OpResult<"claim"> {
  const { messages, touches } = context;
  touches.note(op.threadId, Date.now(), op.agentId);
  const recent = messages.recentOf(op.threadId, epoch);
  const known = messagesSeen(op, (id) => messages.digestOf(recent, id));
  const isFirst = recent.count === 0 && !recent.isIndexed;
  return { ok: true, claim: { epoch, ...known, isFirst } };
}
