/**
 * How long a lock has to be free before a process counts as gone, in milliseconds. All threads that hold
 * the lock may die, and their successors take the lock again.
 */
const LOCK_FREE_MS = 300;

/** What is known of another instance. */
export interface InstanceFacts {
  /** Whether the kernel knows its process. Null when the kernel cannot tell: it is in another namespace. */
  readonly isProcessThere: boolean | null;
  /**
   * For how long its lock has been free, in milliseconds. Null when the lock is held, when that is
   * unknown, and when the lock was not tested.
   */
  readonly lockFreeMs: number | null;
  /**
   * For how long its heartbeat has stood still while the judging instance could write, in milliseconds.
   */
  readonly stillMs: number;
  /** The lease that the instance has chosen, in milliseconds. */
  readonly leaseMs: number;
}

/**
 * Whether an instance may still be executing its runs.
 *
 * A process that the kernel says is gone is dead at once. If the kernel does not know the process, a lock
 * that stays free says the same. In every other case the heartbeat decides.
 */
export function isInstanceAlive(facts: InstanceFacts): boolean {
  if (facts.isProcessThere === false) return false;
  if (facts.isProcessThere === null && facts.lockFreeMs !== null) {
    return facts.lockFreeMs < LOCK_FREE_MS;
  }
  return facts.stillMs < facts.leaseMs;
}

/**
 * Whether a version 1 runner may still be executing its run. Such a runner has no heartbeat, so its last
 * write counts as a heartbeat. A clock may have been set since: a write in the future counts as old by
 * its distance from now, like a write in the past. All arguments are milliseconds.
 */
export function isVersion1Alive(lastWriteAt: number, now: number, leaseMs: number): boolean {
  return Math.abs(now - lastWriteAt) < leaseMs;
}

/** A heartbeat, as an instance has written it. */
export interface Heartbeat {
  readonly instanceId: string;
  /** Each heartbeat has a new number. Only a change of the number has a meaning. */
  readonly beat: number;
}

/**
 * The heartbeats of other instances, as an instance that can write has seen them.
 *
 * Time in which no instance could write (a full disk, a locked database) counts against no instance.
 * Clocks are not compared: neither the clocks of two hosts, nor a clock before and after it was set.
 */
export class Heartbeats {
  /** By instance id, the last heartbeat that was seen, and for how long it has stood still. */
  readonly #seen = new Map<string, { beat: number; stillMs: number }>();

  /**
   * Notes the heartbeats of all instances. `writableMs` is the part of the time since the last call in
   * which this instance could write, so that every other instance could write too.
   */
  observe(heartbeats: readonly Heartbeat[], writableMs: number): void {
    const gone = new Set(this.#seen.keys());
    for (const { instanceId, beat } of heartbeats) {
      gone.delete(instanceId);
      const seen = this.#seen.get(instanceId);
      if (seen?.beat === beat) seen.stillMs += writableMs;
      else this.#seen.set(instanceId, { beat, stillMs: 0 });
    }
    for (const instanceId of gone) this.#seen.delete(instanceId);
  }

  /** For how long this heartbeat has stood still, in milliseconds. 0 for a new heartbeat. */
  stillMs({ instanceId, beat }: Heartbeat): number {
    const seen = this.#seen.get(instanceId);
    return seen?.beat === beat ? seen.stillMs : 0;
  }
}
