import type {
  FollowMessage,
  FollowRequest,
  LookMessage,
  LookRequest,
} from "../../../src/protocol/messages.ts";
import { keyOf, type RunKey } from "../../../src/protocol/run-key.ts";
import { tellFollower } from "../../../src/runs/follow.ts";
import { VERSION_1_EPOCH } from "../../../src/runs/holder.ts";
import { epochOf, findStoredRun } from "../runs/stored-runs.ts";
import { keyOfRow } from "../state/journal-scan.ts";
import { ValueReader } from "../values/read-values.ts";
import type { ReaderContext } from "./reader-context.ts";
import type { FollowedSegmentRow, ReaderStatements } from "./statements.ts";
import { isHeld } from "./who-runs.ts";

/** UTF-16 units of JSON that one look reads of a run at most, unless a single segment is longer. */
const LOOK_LENGTH = 256 * 1024;

/** What happened to runs and threads of other instances, read in one transaction. */
export function look(context: ReaderContext, request: LookRequest): LookMessage {
  return context.db.transaction(() => ({
    runs: follow(context, request.runs),
    held: request.threads.map((threadId) => isHeld(context, threadId)),
  }))();
}

/** Reads the segments since the last look of each run, in one pass over the table for all runs. */
function follow({ statements }: ReaderContext, runs: readonly FollowRequest[]): FollowMessage[] {
  const upToId = statements.lastSegment.get() ?? 0;
  const news = new Map(runs.map((run) => [keyOf(run), new News(run, upToId)]));
  const from = Math.min(...runs.map(({ afterId }) => afterId));
  if (from < upToId) {
    const pairs = JSON.stringify(runs.map(({ threadId, epoch }) => [threadId, epoch]));
    for (const row of statements.segmentsOfRuns.iterate(from, pairs)) {
      news.get(keyOfRow(row))?.add(row);
    }
  }
  return runs.map((run) => {
    const { segments, afterId, more } = news.get(keyOf(run)) as News;
    const state = statements.stateOfThread.get(run.threadId);
    const isLast = state !== undefined && epochOf(state) === run.epoch;
    // True even if the owner is dead: the run is over when an instance has ended it.
    const running = isLast && state.is_running === 1;
    const answer = { segments, afterId, more, running };
    return tellFollower(run, answer, () => storedEvents(statements, run, isLast));
  });
}

/** The stored events of an ended run. `isLast`: no later run has held the thread. */
function storedEvents(statements: ReaderStatements, run: RunKey, isLast: boolean): string | null {
  // Rows of version 1 have no epoch: only the last row of the thread certainly belongs to this run.
  if (run.epoch === VERSION_1_EPOCH && !isLast) return null;
  const id = findStoredRun(statements, run);
  const row = id === undefined ? undefined : statements.eventsOfRun.get(id);
  return row === undefined ? null : new ValueReader(statements).eventsOf(row);
}

/** The segments of one run that came since the last look. */
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
    // `upToId` is smaller than `afterId` when rows at the end were deleted since the last look.
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
