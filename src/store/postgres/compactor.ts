import type {
  CompactedRun,
  CompactorRequest,
  FactsOfThread,
  FactsRequest,
  ViewStep,
  ViewStepRequest,
  WholeInputRequest,
} from "../../protocol/compactor-messages.ts";
import type { FoundRunInput } from "../../protocol/messages.ts";
import { compactJournal, cutRun, type Journal } from "../../runs/compact-journal.ts";
import { makeFacts } from "../../runs/facts-step.ts";
import { makeRunInput } from "../../runs/run-input.ts";
import { makeViewStep } from "../../runs/view-step.ts";
import { WorkerPool } from "../worker-threads/worker-pool.ts";

/** UTF-16 units of JSON up to which a run is compacted on the main thread: sending it costs as much. */
const MAX_ON_MAIN_THREAD = 64 * 1024;

/**
 * Compacts journaled runs, cuts stored ones into pages, and makes views, facts and inputs of them. Long ones
 * in a worker thread, which is started for the first of them.
 */
export class Compactor {
  readonly #pool = new WorkerPool<CompactorRequest>({
    worker: "compactor",
    threads: 1,
    config: null,
    diedCode: "WRITER_DIED",
  });

  async compact(journal: Journal): Promise<CompactedRun> {
    const length = journal.segments.reduce((sum, segment) => sum + segment.length, 0);
    if (length <= MAX_ON_MAIN_THREAD) return compactJournal(journal);
    return this.#pool.request<CompactedRun>({ kind: "compact", ...journal });
  }

  async cut(events: string): Promise<readonly string[]> {
    if (events.length <= MAX_ON_MAIN_THREAD) return cutRun(events);
    return this.#pool.request<readonly string[]>({ kind: "cut", events });
  }

  async makeView(request: ViewStepRequest): Promise<ViewStep> {
    const length = request.runs.reduce((sum, { events }) => sum + events.length, 0);
    const isShort = length + (request.start?.length ?? 0) <= MAX_ON_MAIN_THREAD;
    if (isShort) return makeViewStep(request);
    return this.#pool.request<ViewStep>({ kind: "view", ...request });
  }

  async makeFacts(request: FactsRequest): Promise<readonly FactsOfThread[]> {
    let length = 0;
    for (const { runs } of request.threads) {
      for (const { events, tail } of runs) length += (events ?? tail ?? "").length;
    }
    if (length <= MAX_ON_MAIN_THREAD) return makeFacts(request);
    return this.#pool.request<readonly FactsOfThread[]>({ kind: "facts", ...request });
  }

  async makeRunInput(request: WholeInputRequest): Promise<FoundRunInput> {
    const { view, events, input } = request;
    let length = view.rest.length + events.length + input.length;
    for (const messages of view.messages) length += messages.length;
    if (length <= MAX_ON_MAIN_THREAD) return makeRunInput(request);
    return this.#pool.request<FoundRunInput>({ kind: "input", ...request });
  }

  end(): Promise<void> {
    return this.#pool.destroy();
  }
}
