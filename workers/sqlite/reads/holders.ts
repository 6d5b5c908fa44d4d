import type { Database } from "better-sqlite3";
import {
  type HeldThread,
  type Holders,
  type HoldersRequest,
  type Journal,
  type RunnerInstance,
  tellsInstances,
} from "../../../src/protocol/holders.ts";
import { keyOf } from "../../../src/protocol/run-key.ts";
import { stopOf, VERSION_1_EPOCH } from "../../../src/runs/holder.ts";
import { hasLiveOwner } from "../instances/ownership.ts";
import type { InstanceRow, RunStateRow } from "../instances/statements.ts";
import type { ReaderContext } from "./reader-context.ts";

/** Threads of one resource, of nobody, or of all where the first value is 1. */
const IN_SCOPE = "(? OR t.resource_id IS ?)";

const HELD = `FROM run_state s LEFT JOIN threads t ON t.thread_id = s.thread_id
  WHERE s.is_running = 1 AND ${IN_SCOPE}
    AND NOT EXISTS (SELECT 1 FROM unfinished_threads u WHERE u.thread_id = s.thread_id)`;

type InScope = [isEvery: number, resourceId: string | null];

function prepareHolderStatements(db: Database) {
  return {
    instances: db.prepare<[], InstanceRow & { readonly held: number }>(
      `SELECT i.*, (SELECT count(*) FROM run_state s WHERE s.is_running = 1
         AND s.owner_id = i.instance_id) AS held
       FROM runner_instances i ORDER BY i.instance_id`,
    ),
    held: db.prepare<[...InScope, number], RunStateRow>(
      `SELECT s.* ${HELD} ORDER BY s.updated_at, s.thread_id LIMIT ?`,
    ),
    heldThread: db.prepare<[...InScope, string], RunStateRow>(
      `SELECT s.* ${HELD} AND s.thread_id = ?`,
    ),
    heldTotal: db.prepare<InScope, number>(`SELECT count(*) ${HELD}`).pluck(),
    // `octet_length` of a column reads no more than the length of it.
    journals: db.prepare<[], Journal & { readonly thread_id: string; readonly epoch: number }>(
      `SELECT thread_id, epoch, count(*) AS segments, sum(octet_length(events)) AS bytes
       FROM run_events GROUP BY thread_id, epoch`,
    ),
  };
}

/** Who holds what, for operators. */
export class HolderReader {
  readonly #context: ReaderContext;
  readonly #statements: ReturnType<typeof prepareHolderStatements>;

  constructor(context: ReaderContext) {
    this.#context = context;
    this.#statements = prepareHolderStatements(context.db);
  }

  read(request: HoldersRequest): Holders {
    return this.#context.db.transaction(() => this.#read(request))();
  }

  #read(request: HoldersRequest): Holders {
    const { scope, threadId, limit } = request;
    const inScope: InScope = scope === "every" ? [1, null] : [0, scope.resourceId];
    const rows =
      threadId === null
        ? this.#statements.held.all(...inScope, limit)
        : this.#statements.heldThread.all(...inScope, threadId);
    if (!tellsInstances(request)) {
      const heldTotal =
        threadId === null ? (this.#statements.heldTotal.get(...inScope) ?? 0) : rows.length;
      const held = rows.map((row) => this.#heldOf(row, null));
      return { instances: [], held, heldTotal, journals: null };
    }
    const journals = this.#statements.journals.all();
    const byRun = new Map(
      journals.map(({ thread_id, epoch, segments, bytes }) => [
        keyOf({ threadId: thread_id, epoch }),
        { segments, bytes },
      ]),
    );
    const none = { segments: 0, bytes: 0 };
    return {
      instances: this.#statements.instances.all().map((row) => this.#instanceOf(row)),
      held: rows.map((row) => this.#heldOf(row, byRun.get(keyOf(keyOfState(row))) ?? none)),
      heldTotal: this.#statements.heldTotal.get(...inScope) ?? 0,
      journals: journals.reduce(
        (sum, { segments, bytes }) => ({
          segments: sum.segments + segments,
          bytes: sum.bytes + bytes,
        }),
        none,
      ),
    };
  }

  #instanceOf(row: InstanceRow & { readonly held: number }): RunnerInstance {
    const { liveness, config } = this.#context;
    return {
      id: row.instance_id,
      isOwn: row.instance_id === config.instanceId,
      isAlive: liveness.isRowAlive(row),
      // Behind the name, the identity of a host has what tells boots and pid namespaces apart.
      host: row.host.split("|", 1)[0] ?? "",
      pid: row.pid,
      leaseMs: row.lease_ms,
      seenAt: row.heartbeat_at,
      held: row.held,
    };
  }

  #heldOf(row: RunStateRow, journal: Journal | null): HeldThread {
    return {
      ...keyOfState(row),
      runId: row.current_run_id ?? "",
      instanceId: row.owner_id,
      isAlive: hasLiveOwner(this.#context, row),
      claimedAt: row.updated_at,
      stop: stopOf(row.stop_requested),
      journal,
    };
  }
}

const keyOfState = ({ thread_id: threadId, epoch }: RunStateRow) => ({
  threadId,
  epoch: epoch ?? VERSION_1_EPOCH,
});
