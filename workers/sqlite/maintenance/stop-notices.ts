import type { WriterNotice } from "../../../src/protocol/messages.ts";
import { keyOf } from "../../../src/protocol/run-key.ts";
import { ownRunsToStop } from "../runs/stop-requests.ts";
import type { WriterContext } from "../runs/writer-context.ts";

/** Tells the main thread which of its runs other instances asked to end. */
export class StopNotices {
  readonly #context: WriterContext;
  readonly #notify: (notice: WriterNotice) => void;
  /** The requests that were sent, each as `discard` and `keyOf` the run. */
  readonly #sent = new Set<string>();

  constructor(context: WriterContext, notify: (notice: WriterNotice) => void) {
    this.#context = context;
    this.#notify = notify;
  }

  /** Sends a notice for each request that has none yet. */
  sendNew(): void {
    for (const run of ownRunsToStop(this.#context)) {
      const request = `${run.discard} ${keyOf(run)}`;
      if (this.#sent.has(request)) continue;
      this.#sent.add(request);
      this.#notify({ kind: "stop", ...run });
    }
  }

  /**
   * Has `sendNew` repeat the notices: the main thread may not have known the run at the first notice.
   */
  forgetSent(): void {
    this.#sent.clear();
  }
}
