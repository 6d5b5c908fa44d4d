import type {
  FollowMessage,
  FollowRequest,
  LookMessage,
  LookRequest,
  RunningMessage,
} from "../../src/protocol/messages.ts";
import { hasLiveOwner } from "./ownership.ts";
import type { ReaderContext } from "./reader-context.ts";
import type { FollowedSegmentRow, RunStateRow } from "./statements.ts";

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

function liveState(context: ReaderContext, threadId: string): RunStateRow | null {
  const state = context.statements.stateOfThread.get(threadId);
  return hasLiveOwner(context, state) ? state : null;
}

/** What became of runs and threads of other instances, as of one moment. */
export function look(context: ReaderContext, request: LookRequest): LookMessage {
  return context.db.transaction(() => ({
    runs: follow(context, request.runs),
    held: request.threads.map((threadId) => liveRun(context, threadId) !== null),
  }))();
}

/** Reads what has come since the last look once, for all runs. */
function follow({ statements }: ReaderContext, runs: readonly FollowRequest[]): FollowMessage[] {
  const upToId = statements.lastSegment.get() ?? 0;
  const news = new Map(runs.map((run) => [run.runId, new News(run, upToId)]));
  const from = Math.min(...runs.map(({ afterId }) => afterId));
  const runIds = runs.map(({ runId }) => runId);
  if (from < upToId) {
    for (const row of statements.segmentsOfRuns.iterate(from, JSON.stringify(runIds))) {
      news.get(row.run_id)?.add(row);
    }
  }
  return runs.map(({ threadId, runId, begun }) => {
    const { segments, afterId, more } = news.get(runId) as News;
    const state = statements.stateOfThread.get(threadId);
    // Whether or not its owner is alive: a dead one's run is ended by whoever finds it.
    const running = state?.is_running === 1 && state.current_run_id === runId;
    // Of a run that is stored, there may be rows left of its journal, but not its last events.
    const stored = running || begun ? null : (statements.eventsOfStoredRun.get(runId) ?? null);
    if (stored !== null) return { segments: [], afterId, more: false, running, stored };
    return { segments, afterId, more, running, stored };
  });
}

/** What has come of one run. */
class News {
  readonly segments: string[] = [];
  readonly #from: number;
  readonly #upToId: number;
  #length = 0;
  #lastId: number;
  more = false;

  constructor({ afterId }: FollowRequest, upToId: number) {
    this.#from = afterId;
    this.#lastId = afterId;
    // Rows at the end may have been deleted since the last look.
    this.#upToId = Math.max(afterId, upToId);
  }

  get afterId(): number {
    return this.more ? this.#lastId : this.#upToId;
  }

  add({ id, events }: FollowedSegmentRow): void {
    if (id <= this.#from || this.more) return;
    if (this.#length > 0 && this.#length + events.length > LOOK_LENGTH) {
      this.more = true;
      return;
    }
    this.segments.push(events);
    this.#length += events.length;
    this.#lastId = id;
  }
}
