import { Heartbeats, isInstanceAlive } from "../../runs/liveness.ts";
import type { Connection } from "./connection.ts";
import type { Statements } from "./statements.ts";

interface HostRow {
  readonly instance_id: string;
  readonly lease_ms: number;
  readonly beat: number;
  readonly closed: boolean;
}

export interface HostsOptions {
  readonly connection: Connection;
  readonly statements: Statements;
  readonly instanceId: string;
  readonly leaseMs: number;
}

/** A host whose runs can be ended. */
export interface DeadHost {
  readonly instanceId: string;
  readonly beat: number;
}

/**
 * The instances on the database, as their heartbeats tell.
 *
 * An instance counts as dead when its heartbeat has stood still for its lease while this instance could
 * write. Time in which this instance could not write counts against nobody. An instance that was closed, or
 * whose row is gone, is dead at once.
 */
export class Hosts {
  readonly #options: HostsOptions;
  readonly #heartbeats = new Heartbeats();
  #rows = new Map<string, HostRow>();
  #beat = Date.now();
  /** When the last heartbeat was written, in milliseconds of `performance.now()`. */
  #beatenAt: number | null = null;

  constructor(options: HostsOptions) {
    this.#options = options;
  }

  get hasOthers(): boolean {
    return this.#rows.size > 1;
  }

  /** Milliseconds since the last heartbeat. */
  get sinceBeatMs(): number {
    return this.#beatenAt === null ? 0 : performance.now() - this.#beatenAt;
  }

  /** Writes the heartbeat of this instance, and reads those of the others. */
  async beat(): Promise<void> {
    const { connection, statements, instanceId, leaseMs } = this.#options;
    const since = this.#beatenAt;
    this.#beat = Math.max(this.#beat + 1, Date.now());
    const beat = this.#beat;
    const { rows } = await connection.use(async (send) => {
      const [, hosts] = await Promise.all([
        send(statements.beat, [instanceId, leaseMs, beat]),
        send(statements.hosts),
      ]);
      return hosts;
    });
    const now = performance.now();
    // A beat that was late says that nobody could write meanwhile, as far as this instance can tell.
    const interval = leaseMs / 3;
    const passed = since === null ? 0 : now - since;
    const writableMs = passed > 2 * interval ? interval : passed;
    this.#beatenAt = now;
    this.#rows = new Map((rows as HostRow[]).map((row) => [row.instance_id, row]));
    const beats = [...this.#rows.values()].map(heartbeatOf);
    this.#heartbeats.observe(beats, writableMs);
  }

  /** Whether the instance may still execute its runs. */
  isAlive(instanceId: string): boolean {
    if (instanceId === this.#options.instanceId) return true;
    const row = this.#rows.get(instanceId);
    // A host that came since the last look is alive. `findNew` reads the row of one that is not known.
    if (row === undefined || row.closed) return false;
    const stillMs = this.#heartbeats.stillMs(heartbeatOf(row));
    const facts = { isProcessThere: null, lockFreeMs: null, stillMs, leaseMs: row.lease_ms };
    return isInstanceAlive(facts);
  }

  isKnown(instanceId: string): boolean {
    return this.#rows.has(instanceId);
  }

  /** Hosts whose runs can be ended. */
  get dead(): readonly DeadHost[] {
    return [...this.#rows.values()]
      .filter((row) => !this.isAlive(row.instance_id))
      .map((row) => ({ instanceId: row.instance_id, beat: row.beat }));
  }

  async forget({ instanceId, beat }: DeadHost): Promise<void> {
    const { connection, statements } = this.#options;
    await connection.use((send) => send(statements.forgetHost, [instanceId, beat]));
    this.#rows.delete(instanceId);
  }

  /** Says that this instance ends no more runs. Its row stays while it holds threads. */
  async close({ holdsThreads }: { readonly holdsThreads: boolean }): Promise<void> {
    const { connection, statements, instanceId } = this.#options;
    await connection.use((send) =>
      holdsThreads
        ? send(statements.closeHost, [instanceId])
        : send(statements.forgetHost, [instanceId, this.#beat]),
    );
  }
}

const heartbeatOf = ({ instance_id: instanceId, beat }: HostRow) => ({ instanceId, beat });
