import type { ClaimedRun, ClaimRequest, RunStore } from "../../../src/store/run-store.ts";

/** A store that does what `inner` does, except for `broken`. */
export function brokenStore(inner: RunStore, broken: Partial<RunStore>): RunStore {
  return {
    get overloaded() {
      return inner.overloaded;
    },
    get stuck() {
      return inner.stuck;
    },
    hasResources: inner.hasResources === true,
    ready: () => inner.ready(),
    claim: (request) => inner.claim(request),
    readHistory: (threadId, cursor, options) => inner.readHistory(threadId, cursor, options),
    runningRun: (threadId, scope) => inner.runningRun(threadId, scope),
    isOthers: (threadId, scope) => inner.isOthers?.(threadId, scope) ?? Promise.resolve(false),
    follow: (threadId, epoch, signal) => inner.follow(threadId, epoch, signal),
    requestStop: (threadId, runId, scope) => inner.requestStop(threadId, runId, scope),
    released: (threadId, signal) => inner.released(threadId, signal),
    flush: () => inner.flush(),
    close: (timeoutMs) => inner.close(timeoutMs),
    stats: () => inner.stats(),
    ...broken,
  };
}

/** A store each of whose runs does what a run of `inner` does, except for what `breakRun` gives. */
export function storeOfBrokenRuns(
  inner: RunStore,
  breakRun: (run: ClaimedRun, request: ClaimRequest) => Partial<ClaimedRun>,
): RunStore {
  return brokenStore(inner, {
    claim: async (request) => {
      const outcome = await inner.claim(request);
      if (outcome.kind === "refused") return outcome;
      const { run } = outcome;
      const whole: ClaimedRun = {
        epoch: run.epoch,
        setInput: (input) => run.setInput(input),
        append: (event) => run.append(event),
        finish: (onStalled) => run.finish(onStalled),
        release: () => run.release(),
      };
      return { ...outcome, run: { ...whole, ...breakRun(run, request) } };
    },
  });
}
