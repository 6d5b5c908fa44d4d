import { createHash } from "node:crypto";
import type { RunnerTransfer } from "../runner/runner-transfer.ts";
import type { MovedPart, MovedRun, MovedThread } from "../store/thread-transfer.ts";
import { RecordsChecksum } from "./checksum.ts";
import { recordOf, textsOf } from "./run-records.ts";

/** Compares a thread of the store with one that is imported, run by run. */
export class ThreadComparison {
  readonly #transfer: RunnerTransfer;
  readonly #thread: MovedThread;
  readonly #stored: AsyncGenerator<string, void, undefined>;

  constructor(transfer: RunnerTransfer, thread: MovedThread) {
    this.#transfer = transfer;
    this.#thread = thread;
    this.#stored = this.#storedRuns();
  }

  /**
   * Whether the next run of the stored thread is this one. Epochs do not matter: a store may have given others.
   */
  async hasNext(run: MovedRun): Promise<boolean> {
    const { value } = await this.#stored.next();
    return value === digestOf(run);
  }

  /** Digests of the stored runs. None of a thread of another resource. */
  async *#storedRuns(): AsyncGenerator<string, void, undefined> {
    const { threadId, resourceId } = this.#thread;
    let page = await this.#transfer.read(threadId, null);
    if (page?.head?.thread.resourceId !== resourceId) return;
    let run: { head: MovedRun; events: string[] } | null = null;
    while (page !== null) {
      for (const part of page.parts) {
        run = this.#added(run, part);
        if (!part.isLast || run === null) continue;
        yield digestOf({ ...run.head, events: run.events });
        run = null;
      }
      if (page.next === null) return;
      page = await this.#transfer.read(threadId, page.next);
    }
  }

  #added(
    run: { head: MovedRun; events: string[] } | null,
    part: MovedPart,
  ): { head: MovedRun; events: string[] } | null {
    // As the records have them: the store may have other JSON of the same values.
    const { head, events } = textsOf(recordOf(this.#thread.threadId, part), new RecordsChecksum());
    if (head !== null) return { head: { ...head, events: [] }, events: [events] };
    run?.events.push(events);
    return run;
  }
}

function digestOf({ runId, agentId, endedAt, input, events }: MovedRun): string {
  const hash = createHash("sha256").update(JSON.stringify([runId, agentId, endedAt]));
  hash.update("\n").update(input).update("\n");
  let isFirst = true;
  for (const text of events) {
    // The events may be cut elsewhere.
    const inner = text.slice(1, -1);
    if (inner === "") continue;
    hash.update(isFirst ? inner : `,${inner}`);
    isFirst = false;
  }
  return hash.digest("hex");
}
