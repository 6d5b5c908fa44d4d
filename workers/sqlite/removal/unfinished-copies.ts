import { setTimeout as delay } from "node:timers/promises";
import type { UnfinishedThreadRow } from "../instances/statements.ts";
import { continueRemoval, type RemovalContext } from "./remove-thread.ts";
import type { Slices } from "./slices.ts";
import { IMPORT, REMOVAL } from "./unfinished.ts";

/** How long to wait for other processes that are making forks, in milliseconds. */
const MAX_WAIT_MS = 10_000;

/** Milliseconds between two looks whether a fork is over. */
const WAIT_MS = 50;

export interface UnfinishedCopiesOptions {
  readonly context: RemovalContext;
  readonly slices: Slices;
  /** Whether a thread of the resource is one to look at. */
  readonly concerns: (resourceId: string | null) => boolean;
  /** Called before what a dead process has left of a fork or an import is removed. */
  readonly onAbandoned: (threadId: string) => Promise<void>;
}

/**
 * Removes what dead processes have left of forks and imports, and finishes removals that are under way. Waits for
 * forks that live processes are making: a fork of an erased thread ends early, and is removed.
 *
 * All of these hold texts in rows until they are removed. Texts in rows are not taken for traces, but a removal that
 * comes after an erasure would leave traces of them.
 *
 * Resolves with false if a live process is still making a fork after some time. Imports under way are left alone.
 */
export async function endUnfinishedCopies(options: UnfinishedCopiesOptions): Promise<boolean> {
  const { context, slices, concerns, onAbandoned } = options;
  const { removal } = context;
  const giveUpAt = performance.now() + MAX_WAIT_MS;
  for (;;) {
    const rows = await slices.look(() => removal.unfinishedThreads.all());
    const found = rows.filter(({ resource_id }) => concerns(resource_id));
    for (const row of found) {
      const { thread_id: threadId } = row;
      if (isBeingMade(context, row)) continue;
      if (row.is_fork !== REMOVAL) {
        await onAbandoned(threadId);
        await slices.one(() => removal.abandonFork.run(threadId));
      }
      await slices.until((isOver) => continueRemoval(context, threadId, isOver));
    }
    if (!found.some((row) => row.is_fork !== IMPORT && isBeingMade(context, row))) return true;
    if (performance.now() > giveUpAt) return false;
    await delay(WAIT_MS);
  }
}

/** This instance makes no fork while it erases. Its own imports go on between the pieces of its long work. */
function isBeingMade({ config, liveness }: RemovalContext, row: UnfinishedThreadRow): boolean {
  if (row.is_fork === REMOVAL) return false;
  const isOwn = row.owner_id === config.instanceId;
  return isOwn ? row.is_fork === IMPORT : liveness.isAlive(row.owner_id);
}
