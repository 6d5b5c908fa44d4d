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
