/** Milliseconds of a pause at most. Work seems to take hours if the process or its machine is suspended meanwhile. */
const MAX_PAUSE_MS = 1000;

/**
 * The pause of long work after a piece of it that took `spentMs` milliseconds: so many `times` as long, but not
 * without limit.
 */
export function pauseAfter(spentMs: number, times: number): number {
  return Math.min(spentMs * times, MAX_PAUSE_MS);
}
