import assert from "node:assert/strict";
import { inspect } from "node:util";
import type { EventLike } from "../../events/event.ts";
import { RunStoreError, type RunStoreErrorCode } from "../../protocol/errors.ts";

interface Refusal {
  /** The expected code. Any, if it is absent. */
  readonly code?: RunStoreErrorCode;
  /** What was attempted, for the report. */
  readonly what?: string;
}

/** Rejects unless `attempt` rejects with a `RunStoreError`. */
export async function expectRefusal(
  attempt: Promise<unknown>,
  { code, what = "an attempt" }: Refusal = {},
): Promise<void> {
  const checkError = (error: unknown) => {
    assert.ok(error instanceof RunStoreError, `${what} rejects with ${inspect(error)}`);
    if (code !== undefined) assert.equal(error.code, code);
    return true;
  };
  await assert.rejects(attempt, checkError, `${what} rejects with a RunStoreError`);
}

/** Throws unless `events` is the one event that ends a run which nobody executes any more. */
export function expectInterrupted(events: readonly EventLike[] | undefined): void {
  const ends = events?.map(({ type, code }) => [type, code]);
  assert.deepEqual(ends, [["RUN_ERROR", "RUN_INTERRUPTED"]]);
}
