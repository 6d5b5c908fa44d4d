import { resolve } from "node:path";
import type { Observable } from "rxjs";
import type { EventLike } from "../events/event.ts";
import { messageOf, RunStoreError } from "../protocol/errors.ts";
import { guardLogger } from "../protocol/logger.ts";
import type { BackupOptions, BackupResult, RunStore, StoreStats } from "../store/run-store.ts";
import { ActiveRun, type CheckedRequest, type RunEnvironment } from "./active-run.ts";
import type {
  ConnectRequest,
  EventStream,
  IsRunningRequest,
  RunRequest,
  StopRequest,
} from "./agent.ts";
import { adviceOnPath } from "./db-path.ts";
import { describeValue } from "./options.ts";
import { replayThread } from "./replay.ts";
import { isConversation, type StoreRun } from "./store-run.ts";
import { ThreadRuns } from "./thread-runs.ts";

export interface RunnerStats extends StoreStats {
  /** Runs whose agent has not settled, those that wait for their turn included. */
  readonly activeRuns: number;
}

export interface StoreAgentRunnerOptions extends RunEnvironment {
  readonly closeTimeoutMs: number;
  /** Default: every run but the suggestions of CopilotKit's chat. */
  readonly storeRun?: StoreRun | undefined;
  /** How many of the last runs `connect` replays whole. Default: all. */
  readonly replayRuns?: number | undefined;
}

/** Shares of `closeTimeoutMs`: when runs are told to stop, and when they are cut off. */
const STOP_AT = 0.5;
const CUT_OFF_AT = 0.75;
/** Storing has this long when closing, even for a runner that waits for no run. */
const MIN_STORE_MS = 2000;

/** The contract of an AgentRunner over any store that implements the port. */
export class StoreAgentRunner {
  readonly #options: StoreAgentRunnerOptions;
  readonly #store: RunStore;
  readonly #threads = new ThreadRuns();
  #closing: Promise<void> | null = null;

  constructor(options: StoreAgentRunnerOptions) {
    this.#options = { ...options, logger: guardLogger(options.logger) };
    this.#store = options.store;
  }

  /**
   * Resolves when the store is open and recovered. For whoever wants to know at start-up; a run or
   * a connect waits by itself.
   *
   * @throws {RunStoreError} the store cannot be opened: the code says why; or `RUNNER_CLOSED`.
   */
  async ready(): Promise<void> {
    if (this.#closing !== null) throw new RunStoreError("RUNNER_CLOSED", "The runner is closed");
    await this.#store.ready();
  }

  /**
   * Starts a run, whether or not anyone subscribes to what it returns: the run's events, from the
   * first, completing when the run is committed. Agent failures and refusals are RUN_ERROR events.
   *
   * An `Observable` of RxJS, and of the caller's own copy of it where the caller says so: see
   * `EventStream`.
   *
   * @throws {TypeError} `threadId` or `input.runId` is not a non-empty string, or there is no agent.
   * @throws {Error} `"Thread already running"`, with `onConcurrentRun: "throw"` (the default).
   */
  run<Stream extends EventStream = Observable<EventLike>>(request: RunRequest): Stream {
    const checked = checkRequest(request);
    const isStored = this.#isStored(checked);
    const run = new ActiveRun({ ...checked, isStored }, this.#options, this.#threads);
    const refusal = this.#refusal(run.threadId);
    if (refusal !== null) {
      run.refuse(refusal.code, refusal.message);
    } else {
      this.#threads.add(run);
    }
    return run.events as EventStream as Stream;
  }

  /**
   * The thread's history, then its live run if there is one, then completes. A thread that is
   * unknown is empty. A store that cannot be read gives one RUN_ERROR with its code.
   *
   * A client that starts with nothing comes to the messages and the state that the client of the live
   * runs holds. What no client takes from a run's input (`forwardedProps` above all) is left out, and so
   * are snapshots whose effect a later one undoes.
   *
   * @throws {TypeError} `threadId` is not a non-empty string.
   */
  connect<Stream extends EventStream = Observable<EventLike>>(request: ConnectRequest): Stream {
    assertId(request?.threadId, "threadId");
    const { threadId, headers } = request;
    const events = replayThread({
      store: this.#store,
      threadId,
      runs: replayedRuns(this.#options.replayRuns, headers),
      openRuns: () => this.#threads.open(threadId).filter((run) => run.isStored),
    });
    return events as EventStream as Stream;
  }

  /** Whether the thread has a run, in this process or another, that was not told to stop. */
  async isRunning({ threadId }: IsRunningRequest): Promise<boolean> {
    const current = this.#threads.current(threadId);
    if (current !== null && (current.isRunning || !current.waitsForOther)) return current.isRunning;
    const hasOwn = current === null && this.#threads.open(threadId).length > 0;
    if (this.#closing !== null || hasOwn) return false;
    return (await this.#store.runningRun(threadId)) !== null;
  }

  /**
   * Tells the thread's run to stop, in this process or another; with `runId` only if it has that id,
   * or else the first that has it of those that wait here. False when there is none, it is stopping
   * already, or its agent's `abortRun` throws. A run of another process
   * is told when that one next looks, which it does some milliseconds later if it knows that it is
   * not alone, and else with its next event or heartbeat; an agent there that refuses is cut off.
   *
   * @throws {RunStoreError} the store could not be asked about runs of other processes.
   */
  async stop({ threadId, runId }: StopRequest): Promise<boolean> {
    const current = this.#threads.current(threadId);
    const run = runId === undefined ? current : this.#threads.find(threadId, runId);
    // The run that executes is meant, and not one that waits for it, if both have this id or none is
    // given.
    const isElsewhere = run === null || current?.waitsForOther === true;
    if (isElsewhere && this.#closing === null) {
      if (await this.#store.requestStop(threadId, runId ?? null)) return true;
    }
    return run?.stop() ?? false;
  }

  /**
   * Copies the store to a new file of mode 0600, while runs go on, here and in other processes. The
   * copy holds everything that was acknowledged before the call. It has its name only when it is
   * whole and synced, and replaces no file. A backup that fails leaves nothing behind.
   *
   * @throws {TypeError} `path` is no path, or `onProgress` no function.
   * @throws {RunStoreError} `BACKUP_EXISTS`, `DISK_FULL`, `CANNOT_OPEN` (no such directory), `READ_ONLY`,
   * `NAME_TOO_LONG`, `RUNNER_CLOSED` (also when the runner is closed in the middle), `BACKUP_UNSUPPORTED`.
   */
  async backup(path: string, options: BackupOptions = {}): Promise<BackupResult> {
    assertBackup(path, options);
    if (this.#closing !== null) throw new RunStoreError("RUNNER_CLOSED", "The runner is closed");
    if (this.#store.backup === undefined) {
      throw new RunStoreError("BACKUP_UNSUPPORTED", "the store of this runner makes no backups");
    }
    return this.#store.backup(resolve(path), options);
  }

  /** Resolves when everything emitted so far is stored. Rejects when some of it never will be. */
  flush(): Promise<void> {
    return this.#store.flush();
  }

  /**
   * Takes no more runs, lets the active ones end, stores everything and ends the worker threads, all
   * within `closeTimeoutMs` and at most 2 s. Runs that are active at half of that time are told to
   * stop, and are cut off at three quarters of it, whatever `stopTimeoutMs` says. Closing twice is
   * closing once.
   *
   * @throws {RunStoreError} `CLOSE_INCOMPLETE` when something could not be stored.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  stats(): RunnerStats {
    return { ...this.#store.stats(), activeRuns: this.#threads.activeCount };
  }

  #isStored({ threadId, runId, input }: RunToCheck): boolean {
    const { storeRun = isConversation, logger } = this.#options;
    try {
      return storeRun(input);
    } catch (err) {
      logger.error({ err, threadId, runId }, "storeRun threw; the run is stored");
      return true;
    }
  }

  /** Why a run may not be taken on, or null. Makes room for it, or throws, as the options say. */
  #refusal(threadId: string): RunStoreError | null {
    if (this.#closing !== null) {
      return new RunStoreError("RUNNER_CLOSED", "The runner is closed");
    }
    if (this.#store.overloaded) {
      return new RunStoreError("QUEUE_FULL", "Too much is waiting to be stored; try again later");
    }
    const current = this.#threads.current(threadId);
    if (current !== null) {
      switch (this.#options.onConcurrentRun) {
        case "throw":
          // The words are the contract's: CopilotKit and its users look for them.
          throw new Error("Thread already running");
        case "reject":
          return new RunStoreError("THREAD_ALREADY_RUNNING", "Thread already running");
        case "supersede":
          current.supersede();
          break;
        case "enqueue":
          break;
      }
    }
    return null;
  }

  async #close(): Promise<void> {
    const { closeTimeoutMs } = this.#options;
    const startedAt = performance.now();
    const left = (share = 1) => Math.max(0, startedAt + closeTimeoutMs * share - performance.now());
    await this.#idleWithin(left(STOP_AT));
    for (const run of this.#threads.active) {
      run.refuse("RUNNER_CLOSED", "The runner was closed before this run began");
      run.stop({ insist: true });
    }
    await this.#idleWithin(left(CUT_OFF_AT));
    for (const run of this.#threads.active) run.cutOff();
    await this.#store.close(Math.max(left(), MIN_STORE_MS));
  }

  async #idleWithin(ms: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, ms);
    });
    await Promise.race([this.#threads.idle(), timeout]);
    clearTimeout(timer);
  }
}

type RunToCheck = Omit<CheckedRequest, "isStored">;

/** Each field is read once: a getter may throw, or say something else the next time. */
function checkRequest(request: RunRequest): RunToCheck {
  const threadId = read("threadId", () => request?.threadId);
  assertId(threadId, "threadId");
  const input = read("input", () => request.input);
  const runId = read("input.runId", () => input?.runId);
  assertId(runId, "input.runId");
  const agent = read("agent", () => request.agent);
  if (typeof read("agent.runAgent", () => agent?.runAgent) !== "function") {
    throw new TypeError(`run: expected agent to have runAgent(), got ${describeValue(agent)}`);
  }
  return { threadId, runId, agent, input };
}

/** The smaller of what the option and the client's header say. A header that is no number says nothing. */
function replayedRuns(
  option = Number.MAX_SAFE_INTEGER,
  headers: ConnectRequest["headers"] = {},
): number | undefined {
  const asked = /^\d{1,15}$/.exec(headers["x-replay-runs"] ?? "")?.[0];
  const runs = Math.min(option, Math.max(Number(asked ?? option), 1));
  return runs === Number.MAX_SAFE_INTEGER ? undefined : runs;
}

function read<T>(name: string, get: () => T): T {
  try {
    return get();
  } catch (cause) {
    throw new TypeError(`run: ${name} cannot be read: ${messageOf(cause)}`, { cause });
  }
}

function assertId(value: unknown, name: string): asserts value is string {
  // A lone surrogate has no UTF-8: a store would give back another id than it was given.
  if (typeof value !== "string" || value === "" || !value.isWellFormed()) {
    throw new TypeError(
      `expected ${name} to be a non-empty string of well-formed Unicode, got ${describeValue(value)}`,
    );
  }
}

function assertBackup(path: unknown, options: unknown): void {
  const isPath = typeof path === "string" && path.trim() !== "" && !path.includes("\0");
  const advice = isPath ? adviceOnPath(path) : null;
  if (!isPath || advice !== null || path === ":memory:") {
    const instead = advice === null ? "" : `; ${advice}`;
    throw new TypeError(
      `backup: expected the path of a new file, got ${describeValue(path)}${instead}`,
    );
  }
  if (typeof options !== "object" || options === null) {
    throw new TypeError(`backup: expected an object of options, got ${describeValue(options)}`);
  }
  const { onProgress } = options as BackupOptions;
  if (onProgress !== undefined && typeof onProgress !== "function") {
    throw new TypeError(
      `backup: expected onProgress to be a function, got ${describeValue(onProgress)}`,
    );
  }
}
