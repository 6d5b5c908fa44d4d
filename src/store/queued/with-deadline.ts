import { setTimeout as delay } from "node:timers/promises";

/** Waits for `work`, for `ms` milliseconds at most. Rejects if `work` rejects before that. */
export async function withDeadline(work: Promise<unknown>, ms: number): Promise<void> {
  const deadline = new AbortController();
  try {
    await Promise.race([
      work,
      delay(ms, undefined, { signal: deadline.signal }).catch(() => undefined),
    ]);
  } finally {
    deadline.abort();
  }
}
