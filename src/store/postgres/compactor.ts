import { spanReader } from "../../events/shared/span-texts.ts";
import { readStoredEvents } from "../../events/shared/stored-values.ts";
import type { Chunk } from "../../events/shared/thread-values.ts";
import type {
  CompactedRun,
  CompactorRequest,
  CutRequest,
  CutRow,
  FactsOfThread,
  FactsRequest,
  MovedTexts,
  MoveRequest,
  PieceOfRun,
  ReadEventsRequest,
  SharedThread,
  Sweep,
  SweepRequest,
  ThreadToShare,
  ViewStep,
  ViewStepRequest,
  WholeInputRequest,
} from "../../protocol/compactor-messages.ts";
import type { FoundRunInput } from "../../protocol/messages.ts";
import type { MovedRun } from "../../protocol/moved-threads.ts";
import { compactJournal, type Journal } from "../../runs/compact-journal.ts";
import { makeFacts } from "../../runs/facts-step.ts";
import { cutRow } from "../../runs/history-row.ts";
import { importedRun, movedTexts } from "../../runs/moved-run.ts";
import { makeRunInput } from "../../runs/run-input.ts";
import { makeViewStep } from "../../runs/view-step.ts";
import { WorkerPool } from "../worker-threads/worker-pool.ts";

/** UTF-16 units of JSON up to which a run is compacted on the main thread: sending it costs as much. */
const MAX_ON_MAIN_THREAD = 64 * 1024;

/**
 * Compacts journaled runs, takes shared values out of runs and puts them back, cuts stored runs into pages, and
 * makes views, facts and inputs of them. Long ones in a worker thread, which is started for the first of them.
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

  /** Compacts a piece of a long run. Resolves with whether that is of use: see `LongJournals`. */
  readAhead(piece: PieceOfRun): Promise<boolean> {
    return this.#pool.request<boolean>({ kind: "ahead", ...piece });
  }

  /** Null if the pieces before are lost. */
  compactRest(piece: PieceOfRun): Promise<CompactedRun | null> {
    return this.#pool.request<CompactedRun | null>({ kind: "rest", ...piece });
  }

  async cut(request: CutRequest): Promise<CutRow> {
    const { run, forReplay, chunks } = request;
    if (lengthOf([run], chunks) <= MAX_ON_MAIN_THREAD) {
      return cutRow(run, forReplay, spanReader(chunks));
    }
    return this.#pool.request<CutRow>({ kind: "cut", ...request });
  }

  async read(request: ReadEventsRequest): Promise<string> {
    const { run, chunks } = request;
    if (lengthOf([run], chunks) <= MAX_ON_MAIN_THREAD) {
      return readStoredEvents(run, spanReader(chunks));
    }
    return this.#pool.request<string>({ kind: "read", ...request });
  }

  async move(request: MoveRequest): Promise<MovedTexts> {
    const { run, chunks } = request;
    if (lengthOf([run], chunks) + run.input.length <= MAX_ON_MAIN_THREAD) {
      return movedTexts(run, spanReader(chunks));
    }
    return this.#pool.request<MovedTexts>({ kind: "move", ...request });
  }

  async import(run: MovedRun): Promise<CompactedRun> {
    const length = run.events.reduce((sum, text) => sum + text.length, 0);
    if (length <= MAX_ON_MAIN_THREAD) return importedRun(run);
    return this.#pool.request<CompactedRun>({ kind: "import", run });
  }

  async makeView(request: ViewStepRequest): Promise<ViewStep> {
    const { runs, chunks, start } = request;
    // Each run may have all that the runs share.
    const shared = lengthOf([], chunks) * runs.length;
    const length = lengthOf(runs, []) + shared + (start?.length ?? 0);
    if (length <= MAX_ON_MAIN_THREAD) return makeViewStep(request);
    return this.#pool.request<ViewStep>({ kind: "view", ...request });
  }

  async makeFacts(request: FactsRequest): Promise<readonly FactsOfThread[]> {
    let length = 0;
    for (const { runs, chunks } of request.threads) {
      for (const { text } of chunks) length += text.length;
      for (const { events, tail } of runs) length += (events ?? tail ?? "").length;
    }
    if (length <= MAX_ON_MAIN_THREAD) return makeFacts(request);
    return this.#pool.request<readonly FactsOfThread[]>({ kind: "facts", ...request });
  }

  async makeRunInput(request: WholeInputRequest): Promise<FoundRunInput> {
    const { view, run, chunks } = request;
    let length = view.rest.length + run.input.length + lengthOf([run], chunks);
    for (const messages of view.messages) length += messages.length;
    if (length <= MAX_ON_MAIN_THREAD) return makeRunInput(request);
    return this.#pool.request<FoundRunInput>({ kind: "input", ...request });
  }

  /** Always in the worker thread, which remembers the latest values. Null for a thread that it does not know. */
  share(threads: readonly ThreadToShare[]): Promise<readonly (SharedThread | null)[]> {
    return this.#pool.request({ kind: "share", threads });
  }

  sweep(request: SweepRequest): Promise<Sweep> {
    return this.#pool.request({ kind: "sweep", ...request });
  }

  end(): Promise<void> {
    return this.#pool.destroy();
  }
}

function lengthOf(runs: readonly { readonly events: string }[], chunks: readonly Chunk[]): number {
  const texts = [...runs.map(({ events }) => events), ...chunks.map(({ text }) => text)];
  return texts.reduce((sum, { length }) => sum + length, 0);
}
