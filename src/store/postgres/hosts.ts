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

  /** Whether the instance may still execute its runs. One that is not known may not: see `isKnown`. */
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

  /** False for a host that came since the last heartbeat. */
  isKnown(instanceId: string): boolean {
    return instanceId === this.#options.instanceId || this.#rows.has(instanceId);
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
    this.#rows.delete(instanceId);
    return rowCount === 1;
  }

  /** Says that this instance executes no runs any more. With `leavesWork`, its row stays for another host. */
  async close({ leavesWork }: { readonly leavesWork: boolean }): Promise<void> {
    const { connection, statements, instanceId } = this.#options;
    await connection.use((send) =>
      leavesWork
        ? send(statements.closeHost, [instanceId])
        : send(statements.forgetHost, [instanceId, this.#beat]),
    );
  }

  async #writeBeat(): Promise<Beaten> {
    const { connection, statements, instanceId, leaseMs, offersInterrupted } = this.#options;
    const { answerTimeoutMs } = this.#options;
    this.#beat = Math.max(this.#beat + 1, Date.now());
    this.#own.beginning();
    // A half-open connection has to be given up while there is time for another heartbeat.
    const patienceMs = Math.min(answerTimeoutMs, Math.max(this.intervalMs, MIN_ANSWER_MS));
    const { rows } = await connection.use(async (send) => {
      const [, hosts] = await Promise.all([
        send(statements.beat, [instanceId, leaseMs, this.#beat, offersInterrupted]),
        send(statements.hosts),
      ]);
      return hosts;
    }, patienceMs);
    const beaten = this.#own.beaten();
    this.#rows = new Map((rows as HostRow[]).map((row) => [row.instance_id, row]));
    const others = [...this.#rows.values()];
    this.#own.adaptTo(others.map(({ lease_ms }) => lease_ms));
    this.#heartbeats.observe(others.map(heartbeatOf), beaten.writableMs);
    return beaten;
  }
}

const heartbeatOf = ({ instance_id: instanceId, beat }: HostRow) => ({ instanceId, beat });
