import { RunStoreError } from "../../protocol/errors.ts";
import type { ThreadWrites } from "./backend.ts";

async function refuse(): Promise<never> {
  throw new RunStoreError("THREADS_UNSUPPORTED", "this store removes and forks no threads");
}

/** Stands for the `threadWrites` of a backend that has none. */
export const NO_THREAD_WRITES: ThreadWrites = {
  deleteThread: refuse,
  forkThread: refuse,
  erase: refuse,
  purge: refuse,
};
