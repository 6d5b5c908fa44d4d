import { AsyncLocalStorage } from "node:async_hooks";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { type Transferable, type Worker, workerData } from "node:worker_threads";
import { FixedQueue, Piscina } from "piscina";
import type { NativeGate } from "../../native/native-gate.ts";
import { messageOf, RunStoreError } from "../../protocol/errors.ts";
import type { Reply, ThreadConfig, WorkerConfig, WriterNotice } from "../../protocol/messages.ts";
import { openGate, shutGate } from "./native-gates.ts";

const require = createRequire(import.meta.url);

/**
 * The entry files of the workers. `workers` lies beside `src`, in the source and in `dist`.
 *
 * Each file is named twice, as a literal, for the tools that collect the files of a server. Turbopack
 * follows `require.resolve`, and `@vercel/nft` follows `new URL`.
 */
const WORKERS = {
  writer: {
    url: new URL("../../../workers/writer.js", import.meta.url),
    resolve: () => require.resolve("../../../workers/writer.js"),
  },
  reader: {
    url: new URL("../../../workers/reader.js", import.meta.url),
    resolve: () => require.resolve("../../../workers/reader.js"),
  },
  backup: {
    url: new URL("../../../workers/backup.js", import.meta.url),
    resolve: () => require.resolve("../../../workers/backup.js"),
  },
  checkpointer: {
    url: new URL("../../../workers/checkpointer.js", import.meta.url),
    resolve: () => require.resolve("../../../workers/checkpointer.js"),
  },
  file: {
    url: new URL("../../../workers/file.js", import.meta.url),
    resolve: () => require.resolve("../../../workers/file.js"),
  },
  compactor: {
    url: new URL("../../../workers/compactor.js", import.meta.url),
    resolve: () => require.resolve("../../../workers/compactor.js"),
  },
};

function fileOf(worker: keyof typeof WORKERS): string {
  const { url, resolve } = WORKERS[worker];
  // In the source, the workers are `.ts` files like this one, and no bundler is at work.
  if (import.meta.url.endsWith(".ts")) return fileURLToPath(url).replace(/\.js$/, ".ts");
  return resolve();
}

/** The key in `workerData` that marks the worker threads of this package. */
const OWN_THREAD = "durable-agent-runner";

/** True in a worker thread of this package. A preloaded module of the user may make a runner there. */
export function isOwnThread(): boolean {
  const data: unknown = workerData;
  return typeof data === "object" && data !== null && Object.hasOwn(data, OWN_THREAD);
}

export interface WorkerPoolOptions {
  readonly worker: keyof typeof WORKERS;
  readonly threads: number;
  /** How the threads reach their database. Null for threads that open none. */
  readonly config: WorkerConfig | null;
  /** The code of the error when a thread ends before it has answered a request. */
  readonly diedCode: "WRITER_DIED" | "READER_DIED";
  /** Called when a thread has ended without being told to. `cause` says why, as far as that is known. */
  readonly onDied?: (cause: unknown) => void;
  /** Called with each notice that a thread sends without a request. */
  readonly onNotice?: (notice: WriterNotice) => void;
}

interface Pool<Request> {
  readonly piscina: Piscina<Request, Reply<unknown>>;
  readonly queue: TaskQueue;
  readonly gate: NativeGate;
  /** Listens to the threads that were started since the last call. */
  readonly watchThreads: () => void;
}

/** Piscina's queue, from which the latest task can be taken back. */
class TaskQueue extends FixedQueue {
  #last: Parameters<FixedQueue["push"]>[0] | null = null;

  override push(task: Parameters<FixedQueue["push"]>[0]): void {
    super.push(task);
    this.#last = task;
  }

  removeLast(): void {
    if (this.#last !== null) this.remove(this.#last);
  }

  /** Otherwise what the latest task carries would stay in memory until the next one. */
  forgetLast(): void {
    this.#last = null;
  }
}

/**
 * A Piscina pool whose requests always settle: with a reply, or with a `RunStoreError`.
 *
 * Piscina rejects the task of a thread that ends. But when a thread ends before it takes its task, the task stays
 * in Piscina's queue for ever. So when the pool reports such an end, or has tasks and no thread, this class drops
 * the pool and rejects all pending requests.
 *
 * Threads are started by requests alone. Otherwise Piscina would also start them in its event handlers: for a
 * thread that has ended, and for tasks that wait. When the system refuses a thread, as in a container with a limit
 * of them, an error in an event handler ends the process.
 */
export class WorkerPool<Request> {
  readonly #options: WorkerPoolOptions;
  #config: WorkerConfig | null;
  /** A thread serves many requests, and is started in the async context of none of them. */
  readonly #inOwnContext = AsyncLocalStorage.snapshot();
  #pool: Pool<Request> | null = null;
  #destroyed = false;
  readonly #pending = new Set<(error: RunStoreError) => void>();

  constructor(options: WorkerPoolOptions) {
    this.#options = options;
    this.#config = options.config;
  }

  /** Sets the configuration of the threads that start from now on. */
  configure(config: WorkerConfig): void {
    this.#config = config;
    if (this.#pool === null) return;
    const { piscina, gate } = this.#pool;
    piscina.options.workerData = this.#threadConfig(gate);
  }

  /**
   * Rejects with a `RunStoreError`: the worker's fault, or `diedCode` when the thread ends. `transferred` is
   * moved to the thread rather than copied.
   */
  async request<V>(request: Request, transferred: readonly Transferable[] = []): Promise<V> {
    let reply: Reply<unknown>;
    const { promise: poolFailed, reject } = Promise.withResolvers<never>();
    this.#pending.add(reject);
    try {
      const answered = this.#inOwnContext(() => this.#run(request, [...transferred]));
      reply = await Promise.race([answered, poolFailed]);
    } catch (error) {
      if (error instanceof RunStoreError) throw error;
      // The request has a value that cannot be sent. The thread goes on.
      if (error instanceof DOMException && error.name === "DataCloneError") {
        throw new RunStoreError("STORE_FAILED", error.message, { cause: error });
      }
      const message = `the ${this.#options.worker} thread ended: ${messageOf(error)}`;
      throw new RunStoreError(this.#options.diedCode, message, { cause: error });
    } finally {
      this.#pending.delete(reject);
    }
    if (!reply.ok) throw RunStoreError.from(reply.fault);
    // The worker answers a request of kind V with a value of kind V: protocol/messages.ts.
    return reply.value as V;
  }

  /** Ends the threads at once. Pending requests reject. */
  async destroy(): Promise<void> {
    this.#destroyed = true;
    await this.#endPool();
  }

  #threadConfig(gate: NativeGate): Pick<ThreadConfig, "nativeCalls"> {
    const thread = { [OWN_THREAD]: this.#options.worker, nativeCalls: gate.cell };
    return { ...this.#config, ...thread };
  }

  #run(request: Request, transferList: Transferable[]): Promise<Reply<unknown>> {
    const { piscina, queue, watchThreads } = this.#open();
    const { options } = piscina;
    // Until this call returns, Piscina may start a thread.
    options.maxThreads = this.#options.threads;
    try {
      return piscina.run(request, { transferList });
    } catch (error) {
      // The system has refused a thread. The task waits already, with a promise that nobody would handle.
      queue.removeLast();
      if (piscina.threads.length === 0) throw error;
      options.maxThreads = 0;
      return piscina.run(request, { transferList });
    } finally {
      options.maxThreads = 0;
      queue.forgetLast();
      watchThreads();
    }
  }

  #open(): Pool<Request> {
    if (this.#destroyed) throw new RunStoreError("RUNNER_CLOSED", "the runner is closed");
    if (this.#pool !== null) return this.#pool;
    const { worker, threads } = this.#options;
    const gate = openGate();
    const queue = new TaskQueue();
    let pool: Pool<Request>["piscina"];
    try {
      pool = new Piscina({
        filename: fileOf(worker),
        // The default blocks the thread in Atomics.wait between tasks, and the thread's timers do not fire.
        atomics: "disabled",
        // The first thread starts here: it gets its task without having to wait until this thread hears of it.
        minThreads: 1,
        maxThreads: threads,
        // Otherwise Piscina terminates a thread that is idle, whether the gate is empty or not.
        idleTimeout: Number.POSITIVE_INFINITY,
        taskQueue: queue,
        // Nobody reads the histograms.
        recordTiming: false,
        workerData: this.#threadConfig(gate),
      });
    } catch (error) {
      void shutGate(gate);
      throw error;
    }
    pool.options.minThreads = 0;
    let lastError: unknown = null;
    // Piscina reports the error of a thread in different ways: as its own, or as that of an unfinished task.
    const watched = new WeakSet<Worker>();
    const watchThreads = () => {
      for (const thread of pool.threads) {
        if (watched.has(thread)) continue;
        watched.add(thread);
        thread.once("error", (error: unknown) => {
          lastError = error;
        });
      }
    };
    pool.on("error", (error: unknown) => {
      if (pool.threads.length === 0) this.#dropPool(pool, error);
    });
    pool.on("workerDestroy", () => {
      // Wait until Piscina has handled the end: it may report an error.
      queueMicrotask(() => {
        if (this.#pool?.piscina !== pool) return;
        const cause = lastError ?? new Error("it exited");
        lastError = null;
        if (pool.queueSize > 0 && pool.threads.length === 0) this.#dropPool(pool, cause);
        else this.#options.onDied?.(cause);
      });
    });
    pool.on("message", (notice: WriterNotice) => this.#options.onNotice?.(notice));
    this.#pool = { piscina: pool, queue, gate, watchThreads };
    return this.#pool;
  }

  #dropPool(pool: Pool<Request>["piscina"], error: unknown): void {
    if (this.#pool?.piscina !== pool) return;
    const message = `the ${this.#options.worker} thread failed to start or ended: ${messageOf(error)}`;
    const failure = new RunStoreError(this.#options.diedCode, message, { cause: error });
    for (const reject of this.#pending) reject(failure);
    void this.#endPool();
    this.#options.onDied?.(error);
  }

  async #endPool(): Promise<void> {
    if (this.#pool === null) return;
    const { piscina, gate } = this.#pool;
    this.#pool = null;
    await shutGate(gate);
    await piscina.destroy();
  }
}
