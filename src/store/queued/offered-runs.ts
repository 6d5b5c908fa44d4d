import { RunStoreError } from "../../protocol/errors.ts";
import type { OfferedRun } from "../../protocol/messages.ts";
import type { InterruptedRuns, TakenRun } from "../interrupted-runs.ts";
import type { Backend } from "./backend.ts";
import type { Batcher } from "./batcher.ts";
import { parseChunks } from "./parse-chunks.ts";

/** The interrupted runs of a backend that reads the inputs of runs. */
export class OfferedRuns implements InterruptedRuns {
  readonly #batcher: Batcher;
  readonly #readRunInput: NonNullable<Backend["readRunInput"]>;
  #onOffered: ((runs: readonly OfferedRun[]) => void) | null = null;

  constructor(batcher: Batcher, readRunInput: NonNullable<Backend["readRunInput"]>) {
    this.#batcher = batcher;
    this.#readRunInput = readRunInput;
  }

  offerTo(onOffered: (runs: readonly OfferedRun[]) => void): void {
    this.#onOffered = onOffered;
  }

  /** Passes on the notice of the backend. */
  offered(runs: readonly OfferedRun[]): void {
    this.#onOffered?.(runs);
  }

  async take(run: OfferedRun): Promise<TakenRun | null> {
    const { threadId, row, attempt } = run;
    const result = await this.#batcher.enqueue({ kind: "take", threadId, row, attempt });
    if (!result.ok) throw RunStoreError.from(result.fault);
    if (result.taken === null) return null;
    const { agentId, resourceId, startedAt } = result.taken;
    const { found } = await this.#readRunInput({ threadId, row });
    if (found === null) {
      // Its row was deleted: it cannot be run again.
      await this.settle(run);
      return null;
    }
    const input = await parseChunks(found);
    return { runId: found.runId, agentId, resourceId, startedAt, input };
  }

  async settle({ threadId, row }: OfferedRun): Promise<boolean> {
    const result = await this.#batcher.enqueue({ kind: "settle", threadId, row });
    if (!result.ok) throw RunStoreError.from(result.fault);
    return result.settled;
  }
}
