import assert from "node:assert/strict";
import type { EventLike } from "../../events/event.ts";
import type { RunStoreError } from "../../protocol/errors.ts";
import type {
  ClaimedRun,
  ClaimRequest,
  HistoryCursor,
  HistoryPage,
  RunStore,
} from "../run-store.ts";
import { asJson, custom } from "./events.ts";
import { expectPageSize, joinSegments, type WholeRun } from "./whole-runs.ts";

/** What a store has for storing what is waiting. */
const CLOSE_MS = 5000;

/** A claimed run of a test. Storing it is not to stall. */
export interface TestRun extends Omit<ClaimedRun, "finish"> {
  finish(): Promise<void>;
}

export type TestOutcome =
  | { readonly kind: "claimed"; readonly run: TestRun; readonly seen: readonly boolean[] }
  | { readonly kind: "refused"; readonly code: string; readonly message: string };

type ClaimOptions = Partial<Omit<ClaimRequest, "threadId" | "runId" | "onLost">>;

/** A store and the steps that tests take with it. */
export class StoreUnderTest {
  /** The store itself. */
  readonly port: RunStore;
  /** What the store told a run that nobody had caused. */
  readonly #unexpected: Error[] = [];

  constructor(port: RunStore) {
    this.port = port;
  }

  /** Throws when the store told any run what nobody had caused. */
  expectNothingUnexpected(): void {
    const [first] = this.#unexpected;
    if (first !== undefined) throw first;
  }

  close(): Promise<void> {
    return this.port.close(CLOSE_MS);
  }

  async claim(threadId: string, runId: string, options: ClaimOptions = {}): Promise<TestOutcome> {
    const outcome = await this.port.claim({
      threadId,
      runId,
      agentId: null,
      messageIds: [],
      onStopRequested: () => this.#note("a run was asked to stop, which nobody had asked for"),
      ...options,
      onLost: (error) => this.#noteLoss(error),
    });
    if (outcome.kind === "refused") return outcome;
    const { epoch } = outcome.run;
    assert.ok(Number.isSafeInteger(epoch) && epoch > 0, `the epoch ${epoch} is a whole number`);
    return { ...outcome, run: this.#testRun(outcome.run) };
  }

  /** A claim that has to be granted. */
  async claimed(...request: Parameters<StoreUnderTest["claim"]>): Promise<TestRun> {
    const outcome = await this.claim(...request);
    if (outcome.kind === "refused") assert.fail(`the claim was refused: ${outcome.code}`);
    return outcome.run;
  }

  /** A claimed run, and what it is asked when it is to stop. */
  async claimedToBeStopped(threadId: string, runId: string) {
    const asked = Promise.withResolvers<{ readonly discard: boolean }>();
    const run = await this.claimed(threadId, runId, { onStopRequested: asked.resolve });
    return { run, asked: asked.promise };
  }

  /** Which of the messages a claim finds in the thread. The run is released. */
  async seen(
    threadId: string,
    runId: string,
    messageIds: readonly string[],
  ): Promise<readonly boolean[]> {
    const outcome = await this.claim(threadId, runId, { messageIds });
    if (outcome.kind === "refused") assert.fail(`the claim was refused: ${outcome.code}`);
    await outcome.run.release();
    return outcome.seen;
  }

  /** Claims, appends and finishes. */
  async storeRun(
    threadId: string,
    runId: string,
    events: readonly EventLike[] = [custom(runId)],
  ): Promise<void> {
    const run = await this.claimed(threadId, runId);
    run.setInput({ threadId, runId });
    for (const event of events) run.append(event);
    await run.finish();
  }

  /** The pages of a thread's history, each as large as it may be. */
  async pages(threadId: string, from: HistoryCursor | null = null): Promise<HistoryPage[]> {
    const pages: HistoryPage[] = [];
    let cursor = from;
    do {
      const page = await this.port.readHistory(threadId, cursor);
      expectPageSize(page);
      pages.push(page);
      cursor = page.next;
    } while (cursor !== null);
    return pages;
  }

  /** The whole history, its segments put together by run. */
  async history(threadId: string): Promise<WholeRun[]> {
    return joinSegments((await this.pages(threadId)).flatMap(({ segments }) => segments));
  }

  /** The ids of the runs in the history. */
  async storedRunIds(threadId: string): Promise<string[]> {
    return (await this.history(threadId)).map(({ runId }) => runId);
  }

  /** Resolves when the thread is free elsewhere, or with the signal. */
  released(threadId: string, signal: AbortSignal = new AbortController().signal): Promise<void> {
    return startedStep(this.port.released(threadId, signal));
  }

  /** All that a follower is told. */
  followed(
    threadId: string,
    epoch: number,
    onEvents: (told: readonly EventLike[]) => void = () => undefined,
  ): Promise<EventLike[]> {
    return startedStep(this.#followed(threadId, epoch, onEvents));
  }

  async #followed(
    threadId: string,
    epoch: number,
    onEvents: (told: readonly EventLike[]) => void,
  ): Promise<EventLike[]> {
    const told: EventLike[] = [];
    const { signal } = new AbortController();
    for await (const segment of this.port.follow(threadId, epoch, signal)) {
      told.push(...segment.map(asJson));
      onEvents(told);
    }
    return told;
  }

  #testRun(run: ClaimedRun): TestRun {
    return {
      epoch: run.epoch,
      setInput: (input) => run.setInput(input),
      append: (event) => run.append(event),
      finish: () => startedStep(run.finish((error) => this.#note("storing a run stalled", error))),
      release: () => startedStep(run.release()),
    };
  }

  #noteLoss(error: RunStoreError): void {
    // A run that another one took over, or whose store was closed, is told so.
    if (error.code === "LEASE_LOST" || error.code === "RUNNER_CLOSED") return;
    this.#note("a run was lost", error);
  }

  /** A test is not to throw into the store that calls it. */
  #note(message: string, cause?: RunStoreError): void {
    this.#unexpected.push(new Error(message, { cause }));
  }
}

/** A test that fails before it awaits the step leaves no unhandled rejection behind. */
function startedStep<T>(step: Promise<T>): Promise<T> {
  step.catch(() => undefined);
  return step;
}
