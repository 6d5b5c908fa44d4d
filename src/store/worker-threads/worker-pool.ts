import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { workerData } from "node:worker_threads";
import { Piscina } from "piscina";
import { messageOf, RunStoreError } from "../../protocol/errors.ts";
import type { LoadGate } from "../../protocol/load-gate.ts";
import type { Reply, ThreadConfig, WorkerConfig, WriterNotice } from "../../protocol/messages.ts";
import { openGate, shutGate } from "./load-gates.ts";

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

/**
 * Requests that the writer may hold at a time. More than the batches in flight, so that a read of a
 * database in memory does not wait until one of them is answered.
 */
const MAX_REQUESTS = 8;

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
  /** Called when a thread has ended without being told to. */
  readonly onDied?: () => void;
  /** Called with each notice that a thread sends without a request. */
  readonly onNotice?: (notice: WriterNotice) => void;
}

type Pool<Request> = Piscina<Request, Reply<unknown>>;

/**
 * A Piscina pool whose requests always settle: with a reply, or with a `RunStoreError`.
 *
 * Piscina rejects the task of a thread that ends, and starts another thread. But when a thread ends
 * before it takes its task, the task stays in Piscina's queue for ever. So when the pool reports such an
 * end, or has tasks and no thread, this class drops the pool and rejects all pending requests.
 */
export class WorkerPool<Request> {
  readonly #options: WorkerPoolOptions;
  #config: WorkerConfig | null;
  #pool: { readonly piscina: Pool<Request>; readonly gate: LoadGate } | null = null;
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

  /** Rejects with a `RunStoreError`: the worker's fault, or `diedCode` when the thread ends. */
  async request<V>(request: Request): Promise<V> {
    let reply: Reply<unknown>;
    const { promise: poolFailed, reject } = Promise.withResolvers<never>();
    this.#pending.add(reject);
    try {
      reply = await Promise.race([this.#open().run(request), poolFailed]);
    } catch (error) {
      if (error instanceof RunStoreError) throw error;
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

  #threadConfig(gate: LoadGate): Pick<ThreadConfig, "loading"> {
    const thread = { [OWN_THREAD]: this.#options.worker, loading: gate.cell };
    return { ...this.#config, ...thread };
  }

  #open(): Pool<Request> {
    if (this.#destroyed) throw new RunStoreError("RUNNER_CLOSED", "the runner is closed");
    if (this.#pool !== null) return this.#pool.piscina;
    const { worker, threads } = this.#options;
    const gate = openGate();
    const pool: Pool<Request> = new Piscina({
      filename: fileOf(worker),
      // The default blocks the thread in Atomics.wait between tasks, and the thread's timers do not fire.
      atomics: "disabled",
      minThreads: 1,
      // The writer gets requests before it has answered the earlier ones. It answers in order.
      concurrentTasksPerWorker: worker === "writer" ? MAX_REQUESTS : 1,
      maxThreads: threads,
      // Nobody reads the histograms.
      recordTiming: false,
      workerData: this.#threadConfig(gate),
    });
    pool.on("error", (error: unknown) => this.#dropPool(pool, error));
    pool.on("workerDestroy", () => {
      // Wait until Piscina has handled the end: it may start another thread.
      queueMicrotask(() => {
        if (pool.queueSize > 0 && pool.threads.length === 0) {
          this.#dropPool(pool, new Error("it ended before it took a request"));
        }
        if (!this.#destroyed) this.#options.onDied?.();
      });
    });
    pool.on("message", (notice: WriterNotice) => this.#options.onNotice?.(notice));
    this.#pool = { piscina: pool, gate };
    return pool;
  }

  #dropPool(pool: Pool<Request>, error: unknown): void {
    if (this.#pool?.piscina !== pool) return;
    const message = `the ${this.#options.worker} thread failed to start or ended: ${messageOf(error)}`;
    const failure = new RunStoreError(this.#options.diedCode, message, { cause: error });
    for (const reject of this.#pending) reject(failure);
    void this.#endPool();
  }

  async #endPool(): Promise<void> {
    if (this.#pool === null) return;
    const { piscina, gate } = this.#pool;
    this.#pool = null;
    // Otherwise Piscina may start a thread when it notices the end of a thread.
    piscina.options.minThreads = 0;
    await shutGate(gate);
    await piscina.destroy();
  }
}
