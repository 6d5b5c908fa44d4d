import type { WriterNotice } from "../../../src/protocol/messages.ts";
import { keyOf } from "../../../src/protocol/run-key.ts";
import { ownRunsToStop } from "../runs/stop-requests.ts";
import type { WriterContext } from "../runs/writer-context.ts";

/** Tells the main thread which of its runs other instances want to end. */
export class StopNotices {
  readonly #context: WriterContext;
  readonly #tell: (notice: WriterNotice) => void;
  /** The requests that were told, each by its run and whether the run is to be discarded. */
  readonly #told = new Set<string>();

  constructor(context: WriterContext, tell: (notice: WriterNotice) => void) {
    this.#context = context;
    this.#tell = tell;
  }

  /** Tells each request that was not told yet. */
  tellNew(): void {
    for (const run of ownRunsToStop(this.#context)) {
      const request = `${run.discard} ${keyOf(run)}`;
      if (this.#told.has(request)) continue;
      this.#told.add(request);
      this.#tell({ kind: "stop", ...run });
    }
  }

  /** Has requests told again whose runs have not ended: the first notice may have come too early. */
  forgetTold(): void {
    this.#told.clear();
  }
}
