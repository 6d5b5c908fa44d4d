import type {
  FollowMessage,
  FollowRequest,
  LookMessage,
  LookRequest,
  RunningMessage,
} from "../../src/protocol/messages.ts";
import { hasLiveOwner } from "./ownership.ts";
import type { ReaderContext } from "./reader-context.ts";
import type { RunStateRow } from "./statements.ts";

/** UTF-16 units of JSON that one look takes of one run, unless one segment alone is longer. */
const LOOK_LENGTH = 256 * 1024;

/** The run that holds a thread, if its owner is alive and it was not told to stop. */
export function runningRun(context: ReaderContext, threadId: string): RunningMessage {
  const state = liveState(context, threadId);
  return { runId: state?.stop_requested === null ? state.current_run_id : null };
}

/** The run that holds a thread, if its owner is alive. */
export function liveRun(context: ReaderContext, threadId: string): string | null {
  return liveState(context, threadId)?.current_run_id ?? null;
}

function liveState(
  { statements, identity, config }: ReaderContext,
  threadId: string,
): RunStateRow | null {
  const state = statements.stateOfThread.get(threadId);
  return hasLiveOwner(statements, state, identity, config) ? state : null;
}

/** What became of runs and threads of other instances. */
export function look(context: ReaderContext, { runs, threads }: LookRequest): LookMessage {
  return {
    runs: runs.map((run) => context.db.transaction(() => follow(context, run))()),
    held: threads.map((threadId) => liveRun(context, threadId) !== null),
  };
}

/** In one transaction: a run that has ended and its last segment are seen together. */
function follow(
  { statements }: ReaderContext,
  { threadId, runId, afterSeq }: FollowRequest,
): FollowMessage {
  const state = statements.stateOfThread.get(threadId);
  // Whether or not its owner is alive: a dead one's run is ended by whoever finds it.
  const running = state?.is_running === 1 && state.current_run_id === runId;
  const segments: string[] = [];
  let lastSeq = afterSeq;
  let length = 0;
  // The input stands at seq -1, before all events.
  for (const { seq, events } of statements.segmentsAfter.iterate(runId, afterSeq ?? -1)) {
    if (length > 0 && length + events.length > LOOK_LENGTH) {
      return { segments, afterSeq: lastSeq, more: true, running, stored: null };
    }
    segments.push(events);
    length += events.length;
    lastSeq = seq;
  }
  const needsStored = !running && lastSeq === null;
  const stored = needsStored ? (statements.eventsOfStoredRun.get(runId) ?? null) : null;
  return { segments, afterSeq: lastSeq, more: false, running, stored };
}
