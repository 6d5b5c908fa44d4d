import type { ClaimOp, OpResult } from "../../../src/protocol/messages.ts";
import { belongsTo, decideClaim } from "../../../src/runs/claim.ts";
import { messagesSeen } from "../../../src/runs/messages-seen.ts";
import { holderOf } from "../instances/ownership.ts";
import { recoverRun } from "./recover.ts";
import type { WriterContext } from "./writer-context.ts";

const REFUSED = { ok: true, claim: null, heldIn: null } as const;

const HELD = { ...REFUSED, refusal: "THREAD_ALREADY_RUNNING" } as const;

const NOT_FOUND = { ...REFUSED, refusal: "THREAD_NOT_FOUND" } as const;

/**
 * Takes a thread for a run, unless it belongs to another resource, or a live owner holds it: see
 * `decideClaim`.
 */
export function claim(context: WriterContext, op: ClaimOp): OpResult<"claim"> {
  const { statements, config } = context;
  const { threadId, runId, agentId, number } = op;
  const { instanceId } = config;
  if (op.rerunOf !== undefined) return claimForRerun(context, op, op.rerunOf);
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
  const attempt = firstAttempt(context);
  const ids = [threadId, runId, instanceId, number] as const;
  const take = () => statements.takeFreeThread.get(...ids, Date.now(), agentId, attempt, first);
  let epoch = take();
  if (epoch === undefined) {
    const state = statements.stateOfThread.get(threadId);
    if (state === undefined) throw new Error("a thread without a state could not be taken");
    const holder = holderOf(context, state);
    const decision = decideClaim({ instanceId, claimNumber: number, holder });
    if (decision.kind === "repeat") return claimed(context, op, decision.epoch);
    if (decision.kind === "refuse") return { ...HELD, heldIn: state.epoch };
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
  let owner = statements.resourceOfThread.get(threadId);
  // A version 1 runner that executes the first run of a thread has no row for the thread yet.
  const isOfVersion1 =
    owner === undefined && statements.stateOfThread.get(threadId)?.is_running === 1;
  if (isOfVersion1) owner = null;
  if (!belongsTo(owner, resourceId)) return false;
  if (owner === undefined || isOfVersion1) {
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
function takeKnown(context: WriterContext, op: ClaimOp, epoch: number): boolean {
  const { statements, config } = context;
  const { threadId, runId, agentId, number } = op;
  const ids = [runId, config.instanceId, number] as const;
  const attempt = firstAttempt(context);
  const row = [Date.now(), agentId, attempt, threadId, epoch] as const;
  return statements.takeThreadOfEpoch.run(...ids, ...row).changes === 1;
}

/** `run_state.attempt` of a run that is no rerun. */
function firstAttempt({ config }: WriterContext): number | null {
  return config.offersInterrupted === true ? 0 : null;
}

/**
 * Takes the thread of an interrupted run for its rerun, if this instance has taken that run, and no other
 * run has held the thread since.
 */
function claimForRerun(
  context: WriterContext,
  op: ClaimOp,
  interruptedRow: number,
): OpResult<"claim"> {
  const { statements, config } = context;
  const { threadId, runId, agentId, number } = op;
  const { instanceId } = config;
  if (statements.unfinishedThread.get(threadId) !== undefined) return HELD;
  // A thread that was removed since is not made again: it would belong to the resource of the refused rerun.
  if (statements.resourceOfThread.get(threadId) === undefined) return HELD;
  if (!giveToResource(context, op)) return NOT_FOUND;
  const ids = [runId, instanceId, number] as const;
  const row = [Date.now(), agentId, threadId, interruptedRow, instanceId] as const;
  const epoch = statements.takeForRerun.get(...ids, ...row);
  if (epoch !== undefined) return claimed(context, op, epoch);
  const state = statements.stateOfThread.get(threadId);
  const isOurs = state?.owner_id === instanceId && state.claim_number === number;
  const isRepeated = state?.is_running === 1 && isOurs && state.epoch !== null;
  return isRepeated ? claimed(context, op, state.epoch) : HELD;
}

function claimed(context: WriterContext, op: ClaimOp, epoch: number): OpResult<"claim"> {
  const { messages, touches } = context;
  touches.note(op.threadId, Date.now(), op.agentId);
  const recent = messages.recentOf(op.threadId, epoch);
  const known = messagesSeen(op, (id) => messages.digestOf(recent, id));
  const isFirst = recent.count === 0 && !recent.isIndexed;
  return { ok: true, claim: { epoch, ...known, isFirst } };
}
