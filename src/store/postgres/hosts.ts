import { Heartbeats, isInstanceAlive } from "../../runs/liveness.ts";
import { type Beaten, OwnHeartbeat } from "../../runs/own-heartbeat.ts";
import type { Connection } from "./connection.ts";
import type { Statements } from "./statements.ts";

interface HostRow {
  readonly instance_id: string;
  readonly lease_ms: number;
  readonly beat: number;
  readonly closed: boolean;
  readonly offers_interrupted: boolean;
}

export interface HostsOptions {
  readonly connection: Connection;
  readonly statements: Statements;
  readonly instanceId: string;
  readonly leaseMs: number;
  readonly answerTimeoutMs: number;
  /** Whether the runs of this instance are offered for a rerun when it dies. */
  readonly offersInterrupted: boolean;
}

/** Milliseconds that the answer to a heartbeat may take at least. */
const MIN_ANSWER_MS = 500;

/** Heartbeats that may be waited for in a lease, one after the other. */
const TRIES_PER_LEASE = 3;

/** A host whose runs can be ended. */
export interface DeadHost {
  readonly instanceId: string;
  readonly beat: number;
}

/**
 * The instances on the database, as their heartbeats tell.
 *
 * An instance counts as dead when its heartbeat has stood still for its lease while this instance could
 * write. An instance that was closed, or whose row is gone, is dead at once.
 */
export class Hosts {
  readonly #options: HostsOptions;
  readonly #own: OwnHeartbeat;
  readonly #heartbeats = new Heartbeats();
  #rows = new Map<string, HostRow>();
  #beat = Date.now();
  #beating: Promise<Beaten> | null = null;
  #isClosed = false;

  constructor(options: HostsOptions) {
    this.#options = options;
    this.#own = new OwnHeartbeat(options.leaseMs);
  }

  get hasOthers(): boolean {
    return this.#rows.size > 1;
  }

  /** Milliseconds from one heartbeat to the next. */
  get intervalMs(): number {
    return this.#own.intervalMs;
  }

  get isLate(): boolean {
    return this.#own.isLate;
  }

  /** Writes the heartbeat of this instance, and reads those of the others. */
  beat(): Promise<Beaten> {
    // One at a time: the time between two heartbeats is counted once.
    this.#beating ??= this.#writeBeat().finally(() => {
      this.#beating = null;
    });
    return this.#beating;
  }

  /** Whether the instance may still execute its runs. One that is not known may not: see `mayHaveCome`. */
  isAlive(instanceId: string): boolean {
    if (instanceId === this.#options.instanceId) return true;
    const row = this.#rows.get(instanceId);
    if (row === undefined || row.closed) return false;
    const stillMs = this.#heartbeats.stillMs(heartbeatOf(row));
    const facts = { isProcessThere: null, lockFreeMs: null, stillMs, leaseMs: row.lease_ms };
    return isInstanceAlive(facts);
  }

  /** Whether the runs of an instance are offered for a rerun when it dies. */
  offers(instanceId: string): boolean {
    return this.#rows.get(instanceId)?.offers_interrupted ?? false;
  }

  /**
   * Whether an instance that counts as dead may be alive by now: it may have come, or written a heartbeat after a
   * pause, since the hosts were read. One that was closed stays dead.
   */
  mayHaveCome(instanceId: string): boolean {
    return this.#rows.get(instanceId)?.closed !== true && !this.isAlive(instanceId);
  }

  /** Resolves when no heartbeat is under way: the answer to that one may be older than a question. */
  async idle(): Promise<void> {
    await this.#beating?.catch(() => undefined);
  }

  /**
   * The parameters that write the row of this instance anew, with a heartbeat that no instance has seen. Null after
   * `close`.
   */
  newRow(): readonly unknown[] | null {
    const { instanceId, leaseMs, offersInterrupted } = this.#options;
    if (this.#isClosed) return null;
    return [instanceId, leaseMs, this.#nextBeat(), offersInterrupted];
  }

  /** Hosts whose runs can be ended. */
  get dead(): readonly DeadHost[] {
    return [...this.#rows.values()]
      .filter((row) => !this.isAlive(row.instance_id))
      .map((row) => ({ instanceId: row.instance_id, beat: row.beat }));
  }

  /**
   * Removes the row of a dead host, unless that host has written a heartbeat since. Of several instances that
   * do so, one gets true.
   */
  async forget({ instanceId, beat }: DeadHost): Promise<boolean> {
    const { connection, statements } = this.#options;
    const { rowCount } = await connection.use((send) =>
      send(statements.forgetHost, [instanceId, beat]),
    );
    // The row of a host that is back stays: a host without a row would count as dead.
    if (rowCount === 1) this.#rows.delete(instanceId);
    return rowCount === 1;
  }

  /** Says that this instance executes no runs any more. With `leavesWork`, its row stays for another host. */
  async close({ leavesWork }: { readonly leavesWork: boolean }): Promise<void> {
    const { connection, statements, instanceId } = this.#options;
    this.#isClosed = true;
    await connection.use((send) =>
      leavesWork
        ? send(statements.closeHost, [instanceId])
        : send(statements.removeHost, [instanceId]),
    );
  }

  async #writeBeat(): Promise<Beaten> {
    const { connection, statements, instanceId, leaseMs, offersInterrupted } = this.#options;
    const { answerTimeoutMs } = this.#options;
    const beat = this.#nextBeat();
    this.#own.beginning();
    const begunAt = performance.now();
    // A half-open connection has to be given up while there is time for another heartbeat. The leases of others, which
    // decide how often one is written, say nothing of how long this host may wait.
    const patienceMs = Math.min(
      answerTimeoutMs,
      Math.max(leaseMs / TRIES_PER_LEASE, MIN_ANSWER_MS),
    );
    const { rows } = await connection.use(async (send) => {
      const [, hosts] = await Promise.all([
        send(statements.beat, [instanceId, leaseMs, beat, offersInterrupted]),
        send(statements.hosts),
      ]);
      return hosts;
    }, patienceMs);
    // The server may have read the hosts at any time until its answer came.
    const beaten = this.#own.beaten(performance.now() - begunAt);
    this.#rows = new Map((rows as HostRow[]).map((row) => [row.instance_id, row]));
    const others = [...this.#rows.values()];
    this.#own.adaptTo(others.map(({ lease_ms }) => lease_ms));
    this.#heartbeats.observe(others.map(heartbeatOf), beaten.writableMs);
    return beaten;
  }

  #nextBeat(): number {
    this.#beat = Math.max(this.#beat + 1, Date.now());
    return this.#beat;
  }
}

const heartbeatOf = ({ instance_id: instanceId, beat }: HostRow) => ({ instanceId, beat });
