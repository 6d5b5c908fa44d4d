import { setTimeout as delay } from "node:timers/promises";

/**
 * Resolves with the first value that is neither false nor undefined. For conditions without an event.
 */
export async function eventually<T>(
  look: () => T | Promise<T>,
): Promise<Exclude<T, false | undefined>> {
  for (;;) {
    const found = await look();
    if (found !== false && found !== undefined) return found as Exclude<T, false | undefined>;
    await delay(10);
  }
}

/** Resolves when the clock shows a later millisecond: what is made from then on is newer than what there was. */
export async function laterMillisecond(): Promise<void> {
  const from = Date.now();
  await eventually(() => Date.now() > from);
}
