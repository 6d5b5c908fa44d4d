import { resolve } from "node:path";
import type { Observable } from "rxjs";
import type { EventLike } from "../events/event.ts";
import { describeValue } from "../protocol/describe-value.ts";
import { messageOf, RunStoreError, toRunStoreError } from "../protocol/errors.ts";
import type { Logger } from "../protocol/logger.ts";
import type { Scope } from "../protocol/scope.ts";
import type { PurgeLimits, PurgeResult } from "../protocol/threads.ts";
import { withDeadline } from "../protocol/with-deadline.ts";
import { faultInLimits, type Retention } from "../retention/limits.ts";
import { RetentionTimer } from "../retention/retention-timer.ts";
import type { BackupOptions, BackupResult, RunStore, StoreStats } from "../store/run-store.ts";
import type { ThreadStore } from "../store/thread-store.ts";
import { guardLogger } from "../telemetry/guard-logger.ts";
import { ActiveRun, agentIdOf, type CheckedRequest, type RunEnvironment } from "./active-run.ts";
import type {
  ConnectRequest,
  EventStream,
  IsRunningRequest,
  RunRequest,
  StopRequest,
} from "./agent.ts";
import { adviceOnPath } from "./db-path.ts";
import { Health, type HealthOptions, type RunnerHealth } from "./health.ts";
import { Interruptions, type OnInterrupted, type RerunRequest } from "./interruptions.ts";
import { checkRunnerOptions, DEFAULT_MAX_RERUNS } from "./options.ts";
import { replayThread } from "./replay.ts";
import { currentScope, operatorScope, type Resources, scopeOfResource } from "./resource.ts";
import { isTraced, type RunTrace, traced } from "./run-trace.ts";
import { RunnerTransfer } from "./runner-transfer.ts";
import { isConversation, type StoreRun } from "./store-run.ts";
import { assertId } from "./thread-arguments.ts";
import { ThreadRuns } from "./thread-runs.ts";
import { ThreadTitles, type TitleFor } from "./thread-titles.ts";
import { Threads } from "./threads.ts";

export interface RunnerStats extends StoreStats {
  /** Runs that have not settled, including those that wait for another run. */
  readonly activeRuns: number;
}

export interface StoreAgentRunnerOptions extends Omit<RunEnvironment, "beginsJournal"> {
  readonly closeTimeoutMs: number;
  /** Default `"optional"`. */
  readonly resources?: Resources | undefined;
  /** Default: every run but the suggestions of CopilotKit's chat. */
  readonly storeRun?: StoreRun | undefined;
  /** How many of the last runs `connect` replays whole. Default: all. */
  readonly replayRuns?: number | undefined;
  /** Needs a store that offers interrupted runs. */
  readonly onInterrupted?: OnInterrupted | false | undefined;
  /** Default 3. */
  readonly maxReruns?: number | undefined;
  /** Default: nothing is removed. */
  readonly retention?: Retention | false | undefined;
  /** Default: a title is the beginning of the first user message. */
  readonly titleFor?: TitleFor | false | undefined;
}

/** The share of `closeTimeoutMs` after which active runs are told to stop. */
const STOP_AT = 0.5;
/** The share of `closeTimeoutMs` after which active runs are cut off. */
const CUT_OFF_AT = 0.75;
/** Milliseconds that `close` allows for storing, however short `closeTimeoutMs` is. */
const MIN_STORE_MS = 2000;

export interface PurgeOptions extends PurgeLimits {
  /** Whether to count only what would be removed. Default false. */
  readonly dryRun?: boolean | undefined;
  /** Called from time to time, and once at the end. */
  readonly onProgress?: ((done: PurgeResult) => void) | undefined;
  /** Ends the purge early. It then resolves with what it has removed. */
  readonly signal?: AbortSignal | undefined;
}

/** An AgentRunner over any store that implements `RunStore`. */
export class StoreAgentRunner {
  /** The stored threads: list, read, change and remove them. */
  readonly threads: Threads;
  readonly #options: StoreAgentRunnerOptions;
  readonly #environment: RunEnvironment;
  readonly #store: RunStore;
  readonly #runs = new ThreadRuns();
  readonly #health: Health;
  /** Null without the option `retention`. */
  readonly #retention: RetentionTimer | null;
  #closing: Promise<void> | null = null;

  /** @throws {TypeError} an option is wrong: the message says what was expected and what was got. */
  constructor(options: StoreAgentRunnerOptions) {
    if (typeof options?.store?.claim !== "function") {
      const got = describeValue(options?.store);
      throw new TypeError(`StoreAgentRunner: expected store to be a RunStore, got ${got}`);
    }
    const checked = checkRunnerOptions(options);
    const logger = guardLogger(checked.logger);
    this.#store = options.store;
    this.#options = { ...checked, logger, ...this.#titling(checked.titleFor, logger) };
    const { onInterrupted = false } = checked;
    this.#environment = { ...this.#options, beginsJournal: onInterrupted !== false };
    if (onInterrupted !== false) this.#handInterrupted(onInterrupted);
    this.#health = new Health({
      store: this.#store,
      isClosing: () => this.#closing !== null,
      activeRuns: () => this.#runs.activeCount,
    });
    this.threads = new Threads({
      store: this.#store,
      scope: () => this.#scope(),
      scopeOf: scopeOfResource,
      endRun: (threadId, scope) => this.#endRun(threadId, scope),
      openRuns: (threadId, scope) => this.#runs.open(threadId, scope),
    });
    const { retention = false } = this.#options;
    this.#retention =
      retention === false
        ? null
        : new RetentionTimer({
            ...{ retention, logger },
            purge: (limits, signal) =>
              this.#threads.purge({ ...limits, scope: "every", signal, skipIfPurging: true }),
          });
  }

  /**
   * Resolves when the store is open, and the runs of dead processes are ended. For a check at start-up:
   * a run or a connect waits for this without being told.
   *
   * @throws {RunStoreError} the store cannot be opened: the code says why. `RUNNER_CLOSED` after `close`.
   */
  async ready(): Promise<void> {
    if (this.#closing !== null) throw new RunStoreError("RUNNER_CLOSED", "The runner is closed");
    this.#retention?.start();
    await this.#store.ready();
  }

  /**
   * Starts a run. The run executes even if there is no subscriber.
   *
   * Returns an RxJS `Observable` of the run's events, from the first. It completes when the run is
   * committed. Agent failures and refusals are RUN_ERROR events. For another copy of RxJS, see
   * `EventStream`.
   *
   * @throws {TypeError} `threadId` or `input.runId` is not a non-empty string, or there is no agent.
   * @throws {Error} `"Thread already running"`, with `onConcurrentRun: "throw"` (the default).
   */
  run<Stream extends EventStream = Observable<EventLike>>(request: RunRequest): Stream {
    const checked = checkRequest(request);
    const isStored = this.#isStored(checked);
    const scope = this.#tryScope();
    const isRefused = scope instanceof RunStoreError;
    const resourceId = isRefused || scope === "every" ? null : scope.resourceId;
    const run = this.#newRun({ ...checked, resourceId, isStored });
    const refusal = isRefused ? scope : this.#refusal(run);
    if (refusal !== null) {
      run.refuse(refusal.code, refusal.message);
    } else {
      this.#retention?.start();
      this.#runs.add(run);
    }
    return run.events as EventStream as Stream;
  }

  /**
   * Replays the thread's history, then follows its live run if there is one, then completes. An unknown
   * thread has no events. A store that cannot be read gives one RUN_ERROR with the code of the failure.
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
    const scope = this.#tryScope();
    const events = replayThread({
      store: this.#store,
      threadId,
      scope,
      runs: replayedRuns(this.#options.replayRuns, headers),
      openRuns: (ofScope) => this.#runs.open(threadId, ofScope).filter((run) => run.isStored),
    });
    return events as EventStream as Stream;
  }

  /** Whether the thread has a run, in any process, that was not told to stop. */
  async isRunning({ threadId }: IsRunningRequest): Promise<boolean> {
    const scope = this.#scope();
    const current = this.#runs.current(threadId, scope);
    if (current !== null && (current.isRunning || !current.waitsForOther)) return current.isRunning;
    const hasOwn = current === null && this.#runs.open(threadId, scope).length > 0;
    if (this.#closing !== null || hasOwn) return false;
    return (await this.#store.runningRun(threadId, scope)) !== null;
  }

  /**
   * Tells the thread's run to stop, in whichever process it executes. With `runId`, only a run with
   * that id is stopped: the executing run, or else the first such run that waits in this process. False
   * when there is no such run, when it is stopping already, or when its agent's `abortRun` throws.
   *
   * A run of another process stops when that process finds the request. A process that knows of other
   * processes looks every few milliseconds. A process that thinks it is alone finds the request with its
   * next batch or heartbeat. There, an agent whose `abortRun` throws is cut off.
   *
   * @throws {RunStoreError} the request to another process could not be stored.
   */
  async stop({ threadId, runId }: StopRequest): Promise<boolean> {
    const scope = this.#scope();
    const current = this.#runs.current(threadId, scope);
    const run = runId === undefined ? current : this.#runs.find(threadId, runId, scope);
    // The executing run has precedence over a run here that waits for it, with or without `runId`.
    const isElsewhere = run === null || current?.waitsForOther === true;
    if (isElsewhere && this.#closing === null) {
      if (await this.#store.requestStop(threadId, runId ?? null, scope)) return true;
    }
    return run?.stop() ?? false;
  }

  /**
   * Copies the store to a new file of mode 0600, while runs go on in this process and others. The copy
   * holds everything that was acknowledged before the call. The file gets its name when the copy is
   * whole and synced, and it never replaces a file. A backup that fails leaves no files.
   *
   * @throws {TypeError} `path` is not a path, or `onProgress` is not a function.
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

  /**
   * Removes old threads and runs, in short steps beside the runs that go on. Threads that a run holds are
   * left alone. Within `withResource`, only threads of that resource are removed. Outside, threads of all
   * resources are; with `resources: "required"`, that takes `withResource(EVERY_RESOURCE, ...)`. Resolves
   * with what was removed.
   *
   * What is removed is gone for `connect` and for `runner.threads`. The messages of removed runs stay
   * known: a client that sends them again does not add them again.
   *
   * @throws {TypeError} a limit is wrong.
   * @throws {RunStoreError} `RESOURCE_REQUIRED`, `THREADS_UNSUPPORTED`, `RUNNER_CLOSED`, and the codes of a
   * store that cannot be written.
   */
  async purge(options: PurgeOptions): Promise<PurgeResult> {
    const { dryRun, onProgress, signal, ...limits } = options ?? {};
    const fault = faultInLimits(limits);
    if (fault !== null) throw new TypeError(`purge: ${fault}`);
    if (this.#closing !== null) throw new RunStoreError("RUNNER_CLOSED", "The runner is closed");
    const scope = operatorScope(this.#options.resources ?? "optional", "a purge");
    return this.#threads.purge({ ...limits, dryRun, onProgress, signal, scope });
  }

  /**
   * How `exportThreads` and `importThreads` reach the store. Within `withResource`, it sees and makes only
   * threads of that resource, and so with `resourceId`. Otherwise those of all resources; with `resources: "required"`, that takes
   * `withResource(EVERY_RESOURCE, ...)`.
   *
   * @throws {RunStoreError} `RESOURCE_REQUIRED`, `TRANSFER_UNSUPPORTED`, `RUNNER_CLOSED`.
   */
  transfer(resourceId?: string): RunnerTransfer {
    if (this.#closing !== null) throw new RunStoreError("RUNNER_CLOSED", "The runner is closed");
    const { resources = "optional" } = this.#options;
    const scope =
      resourceId === undefined
        ? operatorScope(resources, "an export or import")
        : scopeOfResource(resourceId);
    return new RunnerTransfer(this.#store, scope);
  }

  /**
   * Resolves when every event emitted so far is stored.
   *
   * @throws {RunStoreError} `PERSISTENCE_FAILED`: a run can never be stored. `FILE_REPLACED`.
   */
  flush(): Promise<void> {
    return this.#store.flush();
  }

  /**
   * Refuses new runs, lets the active runs end, stores everything and ends the worker threads. Runs
   * that are active after half of `closeTimeoutMs` are told to stop. After three quarters they are cut
   * off, whatever `stopTimeoutMs` is. Takes at most `closeTimeoutMs`, and up to 2 s more if storing
   * needs it. A second call returns the same promise.
   *
   * @throws {RunStoreError} `CLOSE_INCOMPLETE`: a run could not be stored.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /**
   * Whether runs can be stored: writes something small, at most once a second however often this is called. Opens
   * the store if nothing has used it yet. Never rejects, and takes half a second at most.
   *
   * @throws {TypeError} `maxLagMs` is not a number of milliseconds.
   */
  health(options: HealthOptions = {}): Promise<RunnerHealth> {
    return this.#health.read(options);
  }

  stats(): RunnerStats {
    return { ...this.#store.stats(), activeRuns: this.#runs.activeCount };
  }

  /**
   * The scope of the call that is under way.
   *
   * @throws {RunStoreError} `RESOURCE_REQUIRED`, `RESOURCES_UNSUPPORTED`.
   */
  #scope(): Scope {
    const scope = currentScope(this.#options.resources ?? "optional");
    const isOwned = scope !== "every" && scope.resourceId !== null;
    if (!isOwned || this.#store.hasResources === true) return scope;
    throw new RunStoreError(
      "RESOURCES_UNSUPPORTED",
      "the store of this runner does not tell the threads of different resources apart",
    );
  }

  /** The scope, or why the call is refused: a stream tells that as an event. */
  #tryScope(): Scope | RunStoreError {
    try {
      return this.#scope();
    } catch (error) {
      return toRunStoreError(error);
    }
  }

  /** Has the titles of new threads made, with the option `titleFor`. */
  #titling(
    titleFor: TitleFor | false | undefined,
    logger: Logger,
  ): Pick<RunEnvironment, "onFirstStored"> {
    if (titleFor === undefined || titleFor === false) return {};
    const titles = new ThreadTitles({ store: this.#store, titleFor, logger });
    return { onFirstStored: (run) => void titles.make(run) };
  }

  /** Ends the run of a thread, wherever it executes, and keeps nothing of it. */
  async #endRun(threadId: string, scope: Scope): Promise<void> {
    this.#runs.current(threadId, scope)?.supersede();
    await this.#store.threads?.endRun(threadId, scope);
  }

  #handInterrupted(onInterrupted: OnInterrupted): void {
    const { interrupted: runs } = this.#store;
    if (runs === undefined) {
      throw new TypeError(
        "onInterrupted: the store of this runner does not offer interrupted runs",
      );
    }
    const { maxReruns = DEFAULT_MAX_RERUNS, logger } = this.#options;
    const isOpen = () => this.#closing === null;
    const start = (request: RerunRequest) => this.#rerun(request);
    new Interruptions({ runs, onInterrupted, maxReruns, logger, isOpen, start });
  }

  /** Runs an interrupted run again. Resolves when the run is over. Rejects if it did not begin. */
  async #rerun(request: RerunRequest): Promise<void> {
    const { threadId, resourceId } = request;
    const checked = { ...request, ...checkRequest(request), isStored: true };
    const refusal = this.#overload();
    if (refusal !== null) throw refusal;
    if (this.#runs.current(threadId, { resourceId }) !== null) {
      throw new RunStoreError("THREAD_ALREADY_RUNNING", "Thread already running");
    }
    const run = this.#newRun(checked);
    this.#runs.add(run);
    run.events.subscribe((event) => {
      if (event.type !== "RUN_ERROR") return;
      // No client asked for this run, and a run that failed before its first event is not in the thread.
      const { code, message } = event;
      const fields = { threadId, runId: request.input.runId, code, message };
      if (!run.refused) this.#options.logger.warn(fields, "a rerun ended with an error");
    });
    await run.over();
  }

  /** The run does not begin yet. It is told of, if anybody listens. */
  #newRun(request: CheckedRequest): ActiveRun {
    const make = (trace: RunTrace | null) =>
      new ActiveRun(request, this.#environment, this.#runs, trace);
    if (!isTraced()) return make(null);
    const { threadId, runId, resourceId, isStored, rerunOf, agent } = request;
    const who = { threadId, runId, resourceId, isStored, isRerun: rerunOf !== undefined };
    return traced({ ...who, agentId: agentIdOf(agent) }, make);
  }

  #isStored({ threadId, runId, input }: RunToCheck): boolean {
    const { storeRun = isConversation, logger } = this.#options;
    try {
      const isStored: unknown = storeRun(input);
      if (typeof isStored === "boolean") return isStored;
      const got = describeValue(isStored);
      const message = `storeRun: expected a boolean, got ${got}; the run is stored`;
      logger.error({ threadId, runId }, message);
      return true;
    } catch (err) {
      logger.error({ err, threadId, runId }, "storeRun threw; the run is stored");
      return true;
    }
  }

  /**
   * Why a new run is refused, or null. Depending on `onConcurrentRun`, throws or supersedes the current
   * run of the thread.
   */
  #refusal(run: ActiveRun): RunStoreError | null {
    const overload = this.#overload();
    if (overload !== null) return overload;
    const { threadId, resourceId } = run;
    const current = this.#runs.current(threadId, { resourceId });
    if (current !== null) {
      switch (this.#options.onConcurrentRun) {
        case "throw":
          run.refuse("THREAD_ALREADY_RUNNING", "Thread already running");
          // The contract fixes this message: CopilotKit and its users look for it.
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

  /** Why no run at all may begin, or null. */
  #overload(): RunStoreError | null {
    if (this.#closing !== null) {
      return new RunStoreError("RUNNER_CLOSED", "The runner is closed");
    }
    if (this.#store.overloaded) {
      return new RunStoreError("QUEUE_FULL", "Too much is waiting to be stored; try again later");
    }
    return null;
  }

  get #threads(): ThreadStore {
    const { threads } = this.#store;
    if (threads !== undefined) return threads;
    throw new RunStoreError("THREADS_UNSUPPORTED", "the store of this runner removes no threads");
  }

  async #close(): Promise<void> {
    this.#retention?.end();
    const { closeTimeoutMs } = this.#options;
    const startedAt = performance.now();
    const left = (share = 1) => Math.max(0, startedAt + closeTimeoutMs * share - performance.now());
    await withDeadline(this.#runs.idle(), left(STOP_AT));
    for (const run of this.#runs.active) {
      run.refuse("RUNNER_CLOSED", "The runner was closed before this run began");
      run.stop({ insist: true });
    }
    await withDeadline(this.#runs.idle(), left(CUT_OFF_AT));
    for (const run of this.#runs.active) run.cutOff();
    await this.#store.close(Math.max(left(), MIN_STORE_MS));
  }
}

type RunToCheck = Omit<CheckedRequest, "isStored" | "resourceId">;

/** Reads each field once, because a getter may throw or return another value the next time. */
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
  headers: ConnectRequest["headers"],
): number | undefined {
  const asked = /^\d{1,15}$/.exec(headers?.["x-replay-runs"] ?? "")?.[0];
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
