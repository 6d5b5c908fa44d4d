import { AsyncLocalStorage } from "node:async_hooks";
import { MessageChannel, type MessagePort, receiveMessageOnPort } from "node:worker_threads";
import { messageOf, RunStoreError } from "../../protocol/errors.ts";
import type { AttachRequest, PortReply, PortRequest } from "../../protocol/port-messages.ts";
import { WorkerPool, type WorkerPoolOptions } from "./worker-pool.ts";

interface Waiter {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: RunStoreError) => void;
}

/** The requests to one thread, by a port that only this thread has. The answers come in any order. */
class Session<Request> {
  readonly #port: MessagePort;
  readonly #waiters = new Map<number, Waiter>();
  #lastId = 0;

  constructor(port: MessagePort) {
    this.#port = port;
    port.on("message", (reply: PortReply) => this.#settle(reply));
    // A port without a pending request lets the process end.
    port.unref();
  }

  request(request: Request): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const id = ++this.#lastId;
      this.#port.postMessage([id, request] satisfies PortRequest<Request>);
      if (this.#waiters.size === 0) this.#port.ref();
      this.#waiters.set(id, { resolve, reject });
    });
  }

  /** Takes the answers that the thread has sent before it ended, and rejects all other requests. */
  end(error: RunStoreError): void {
    for (;;) {
      const received = receiveMessageOnPort(this.#port);
      if (received === undefined) break;
      this.#settle(received.message as PortReply);
    }
    this.#port.close();
    for (const { reject } of this.#waiters.values()) reject(error);
    this.#waiters.clear();
  }

  #settle([id, reply]: PortReply): void {
    const waiter = this.#waiters.get(id);
    this.#waiters.delete(id);
    if (this.#waiters.size === 0) this.#port.unref();
    if (reply.ok) waiter?.resolve(reply.value);
    else waiter?.reject(RunStoreError.from(reply.fault));
  }
}

export type WorkerPortOptions = Omit<WorkerPoolOptions, "threads">;

/**
 * A thread that gets many requests a second. They always settle, like those of `WorkerPool`, which starts the
 * thread and its successors.
 *
 * A task of Piscina for each request costs more processor time than sending the request. So the only task of the
 * thread takes over a port, and the requests go through that.
 */
export class WorkerPort<Request> {
  readonly #options: WorkerPortOptions;
  readonly #pool: WorkerPool<AttachRequest<MessagePort>>;
  /** A session is of no request, whichever is the first. */
  readonly #inOwnContext = AsyncLocalStorage.snapshot();
  #session: Session<Request> | null = null;

  constructor(options: WorkerPortOptions) {
    this.#options = options;
    this.#pool = new WorkerPool({
      ...options,
      threads: 1,
      onDied: (cause) => {
        this.#end(this.#session, cause);
        options.onDied?.(cause);
      },
    });
  }

  /** See `WorkerPool`. */
  configure(config: NonNullable<WorkerPoolOptions["config"]>): void {
    this.#pool.configure(config);
  }

  /** See `WorkerPool`. */
  async request<V>(request: Request): Promise<V> {
    this.#session ??= this.#inOwnContext(() => this.#attach());
    // The worker answers a request of kind V with a value of kind V: protocol/messages.ts.
    return (await this.#session.request(request)) as V;
  }

  /** See `WorkerPool`. */
  async destroy(): Promise<void> {
    const session = this.#session;
    await this.#pool.destroy();
    this.#end(session, new Error("the thread was terminated"));
  }

  #attach(): Session<Request> {
    const { port1, port2 } = new MessageChannel();
    const session = new Session<Request>(port1);
    this.#pool.request({ port: port2 }, [port2]).catch((error) => this.#end(session, error));
    return session;
  }

  #end(session: Session<Request> | null, cause: unknown): void {
    if (session === null || this.#session !== session) return;
    this.#session = null;
    const { worker, diedCode } = this.#options;
    const message = `the ${worker} thread ended: ${messageOf(cause)}`;
    session.end(
      cause instanceof RunStoreError ? cause : new RunStoreError(diedCode, message, { cause }),
    );
  }
}
