import { setTimeout as delay } from "node:timers/promises";
import { RunStoreError, toRunStoreError } from "../../../protocol/errors.ts";
import { pauseAfter } from "../../../runs/pause-after.ts";
import type { Connection, Send } from "../connection.ts";
import type { Statements } from "../statements.ts";

/** How long other hosts may hold locks before long work gives up, in milliseconds. */
const MAX_BUSY_MS = 30_000;

/** Milliseconds between two tries to get a lock. */
const BUSY_RETRY_MS = 20;

/** The pauses of work that nobody waits for, as a multiple of the work before them. */
const GENTLE_PAUSE = 3;

/** Does long work in short transactions, on a connection of its own. */
export class Slices {
  readonly #connection: Connection;
  readonly #statements: Statements;
  #last: Promise<unknown> = Promise.resolve();

  constructor(connection: Connection, statements: Statements) {
    this.#connection = connection;
    this.#statements = statements;
  }

  /**
   * One transaction. Rejects with the error of `work`, or with that of the server. After `CONNECTION_LOST`, it may
   * have been committed.
   */
  one<T>(work: (send: Send) => Promise<T>): Promise<T> {
    const done = this.#last.then(() => this.#retrying(work));
    this.#last = done.catch(() => undefined);
    return done;
  }

  /** Repeats `work` until it resolves with true, in as many transactions as that takes. */
  async until(work: (send: Send) => Promise<boolean>, options: UntilOptions = {}): Promise<void> {
    for (;;) {
      const startedAt = performance.now();
      const isDone = await this.one(work);
      options.afterSlice?.();
      if (isDone) return;
      // The server gets as much time for the runs.
      const pause = options.isGentle === true ? GENTLE_PAUSE : 1;
      await delay(pauseAfter(performance.now() - startedAt, pause));
    }
  }

  /** Reads, in no transaction. */
  read<T>(work: (send: Send) => Promise<T>): Promise<T> {
    const done = this.#last.then(() => this.#connection.use(work));
    this.#last = done.catch(() => undefined);
    return done;
  }

  async #retrying<T>(work: (send: Send) => Promise<T>): Promise<T> {
    const until = performance.now() + MAX_BUSY_MS;
    for (let isFirst = true; ; isFirst = false) {
      let mayBeCommitted = false;
      const onCommitting = () => {
        mayBeCommitted = true;
      };
      try {
        return await this.#connection.use((send) => this.#transaction(send, work, onCommitting));
      } catch (error) {
        const { code } = toRunStoreError(error);
        // A deadlock, for example: nothing was committed.
        const isBusy = code === "BUSY" && (isFirst || performance.now() <= until);
        // The server ends the transaction of a host that was stalled or suspended for longer than an answer may take.
        const isEnded = code === "CONNECTION_LOST" && isFirst && !mayBeCommitted;
        if (!isBusy && !isEnded) throw error;
      }
      await delay(BUSY_RETRY_MS);
    }
  }

  async #transaction<T>(
    send: Send,
    work: (send: Send) => Promise<T>,
    onCommitting: () => void,
  ): Promise<T> {
    const { begin, bounded, commit, rollback } = this.#statements;
    try {
      await Promise.all([send(begin), send(bounded)]);
      const result = await work(send);
      onCommitting();
      const { command } = await send(commit);
      if (command === "COMMIT") return result;
      throw new RunStoreError("STORE_FAILED", `PostgreSQL answered a COMMIT with ${command}`);
    } catch (error) {
      // Fails where the connection is gone, and then says nothing new.
      await send(rollback).catch(() => undefined);
      throw error;
    }
  }
}

interface UntilOptions {
  /** Called after each transaction. */
  readonly afterSlice?: () => void;
  /** Whether nobody waits for the work: its pauses are longer. */
  readonly isGentle?: boolean;
}
