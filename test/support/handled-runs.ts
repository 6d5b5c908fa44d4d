import type {
  InterruptedRun,
  Rerun,
  RunStoreError,
  SqliteAgentRunnerOptions,
} from "../../src/index.ts";
import { offersIn } from "./crashed-run.ts";
import { collectingLogger, openRunner } from "./open-runner.ts";
import { eventually } from "./poll.ts";

interface Handled {
  readonly run: InterruptedRun;
  readonly rerun: Rerun;
}

/** A runner on the file, and what its handler gets. The handler waits for `release`. */
export async function openHandling(dbPath: string, options: SqliteAgentRunnerOptions = {}) {
  const handled = Promise.withResolvers<Handled>();
  const released = Promise.withResolvers<void>();
  const logger = collectingLogger();
  const runner = openRunner({
    ...{ dbPath, logger, ...options },
    async onInterrupted(run, { rerun }) {
      handled.resolve({ run, rerun });
      await released.promise;
    },
  });
  await runner.ready();
  return { runner, logger, release: released.resolve, ...(await handled.promise) };
}

/** The runs that the handler of a runner on the file gets, when it was called or there is no run. */
export async function offeredIn(dbPath: string): Promise<readonly InterruptedRun[]> {
  const runs: InterruptedRun[] = [];
  const runner = openRunner({ dbPath, onInterrupted: (run) => void runs.push(run) });
  await runner.ready();
  await eventually(() => offersIn(dbPath) === 0);
  await runner.close();
  return runs;
}

export const codeOf = (promise: Promise<unknown>): Promise<string | null> =>
  promise.then(
    () => null,
    (error: RunStoreError) => error.code,
  );
