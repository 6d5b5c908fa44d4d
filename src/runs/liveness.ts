/**
 * How long a lock has to be free before a process counts as gone. The threads that hold it may all die, and
 * be replaced.
 */
const LOCK_FREE_MS = 300;

/** What is known of another instance. */
export interface InstanceFacts {
  /** Whether the kernel knows its process. Null when the kernel cannot tell: it is in another namespace. */
  readonly isProcessThere: boolean | null;
  /**
   * For how long its lock has been found free, in milliseconds. Null when it is held, when that cannot be
   * told, and when it was not asked.
   */
  readonly lockFreeMs: number | null;
  /** For how long its heartbeat has stood still while the one who judges could write, in milliseconds. */
  readonly stillMs: number;
  /** The lease that it has given itself, in milliseconds. */
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
 * Whether a version 1 runner may still be executing its run. It has no heartbeat, so its last write
 * counts as one. A write in the future is as old as one in the past: somebody has set a clock.
 */
export function isVersion1Alive(lastWriteAt: number, now: number, leaseMs: number): boolean {
  return Math.abs(now - lastWriteAt) < leaseMs;
}

/** A heartbeat, as an instance has written it. */
export interface Heartbeat {
  readonly instanceId: string;
  /** Each beat differs from the one before. What it counts is for its writer to know. */
  readonly beat: number;
}

/**
 * The heartbeats of other instances, as one who can write has seen them.
 *
 * Time in which nobody could write (a full disk, a locked database) counts against no instance. Clocks
 * are not compared: neither the clocks of two hosts, nor a clock before and after it was set.
 */
export class Heartbeats {
  /** By instance id, the last beat that was seen, and for how long it has stood still. */
  readonly #seen = new Map<string, { beat: number; stillMs: number }>();

  /**
   * Takes note of the heartbeats of all instances. `writableMs` is the time since the last call in which
   * the one who looks could write, and so every other instance could.
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

  /** For how long this beat has stood still, in milliseconds. 0 for a beat that was not seen before. */
  stillMs({ instanceId, beat }: Heartbeat): number {
    const seen = this.#seen.get(instanceId);
    return seen?.beat === beat ? seen.stillMs : 0;
  }
}
