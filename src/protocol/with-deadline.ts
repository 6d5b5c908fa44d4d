import { Patience } from "./patience.ts";

/** Waits for `work`, for `ms` milliseconds at most. Rejects if `work` rejects before that. */
export async function withDeadline(work: Promise<unknown>, ms: number): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const patience = new Patience(ms, resolve);
  patience.begin();
  try {
    await Promise.race([work, late]);
  } finally {
    patience.end();
  }
}
