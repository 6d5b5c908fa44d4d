import { messageOf, RunStoreError } from "../../protocol/errors.ts";
import { Patience } from "../../protocol/patience.ts";
import {
  failureOf,
  isRefusal,
  loadDriver,
  type PgClient,
  type PgNotification,
  type PgResult,
  types,
} from "./driver.ts";
import type { Statement } from "./statements.ts";

export interface ConnectionOptions {
  readonly connectionString: string;
  /** Milliseconds to wait for a connection, and for the answer to a statement. */
  readonly answerTimeoutMs: number;
  /** Whether the server prepares statements. False behind a pooler that does not keep them. */
  readonly prepare: boolean;
  readonly onNotification?: (notification: PgNotification) => void;
  /** Called when an open connection has ended without being told to. */
  readonly onLost?: () => void;
}

const STILL_HERE: Statement = { name: "", text: "SELECT 1" };

export type Send = (statement: Statement, values?: readonly unknown[]) => Promise<PgResult>;

/**
 * One connection to the server. Opened when it is first used, and again after it was lost. Its statements
 * are pipelined: a statement is sent while the answers of those before it are under way.
 */
export class Connection {
  readonly #options: ConnectionOptions;
  #client: Promise<PgClient> | null = null;
  #open: PgClient | null = null;
  /** How many callers of `use` there are. While there are none, the socket does not keep the process alive. */
  #users = 0;
  /** Whether there ever was a connection: the server then has accepted the user and the password. */
  #wasOpen = false;
  #ended = false;

  constructor(options: ConnectionOptions) {
    this.#options = options;
  }

  /**
   * Runs `use` with a function that sends statements. Ends the connection when `use` fails in a way that
   * leaves it in an unknown state, or when an answer takes longer than `answerTimeoutMs`: a socket may be
   * half open.
   *
   * @throws {RunStoreError}
   */
  async use<T>(
    use: (send: Send) => Promise<T>,
    answerTimeoutMs = this.#options.answerTimeoutMs,
  ): Promise<T> {
    this.#users++;
    try {
      return await this.#use(await this.#connect(), use, answerTimeoutMs);
    } finally {
      this.#users--;
      if (this.#users === 0 && this.#open !== null) socketOf(this.#open)?.unref();
    }
  }

  async #use<T>(
    client: PgClient,
    use: (send: Send) => Promise<T>,
    answerTimeoutMs: number,
  ): Promise<T> {
    socketOf(client)?.ref();
    const { prepare } = this.#options;
    const answers = new ExpectedAnswers(answerTimeoutMs);
    const send: Send = ({ name, text }, values = []) =>
      answers.expect(client.query({ text, values, ...(prepare && name !== "" && { name }) }));
    // The server ends a transaction whose host is silent: see `bounded`. A long run takes long to compact.
    const awake = setInterval(() => {
      if (answers.isNoneExpected) send(STILL_HERE).catch(() => undefined);
    }, this.#options.answerTimeoutMs / 3);
    try {
      return await Promise.race([use(send), answers.late]);
    } catch (cause) {
      const failure = failureOf(cause);
      if (failure === null) throw cause;
      if (failure.endsConnection) this.#drop(client);
      throw failure.error;
    } finally {
      clearInterval(awake);
      answers.forget();
    }
  }

  async end(): Promise<void> {
    this.#ended = true;
    const client = this.#open;
    if (client === null) return;
    this.#open = null;
    this.#client = null;
    socketOf(client)?.ref();
    const timer = setTimeout(() => destroySocket(client), 1000);
    await client.end().catch(() => undefined);
    clearTimeout(timer);
  }

  #connect(): Promise<PgClient> {
    if (this.#ended) return Promise.reject(closedError());
    this.#client ??= this.#openClient().catch((error: unknown) => {
      this.#client = null;
      throw error;
    });
    return this.#client;
  }

  async #openClient(): Promise<PgClient> {
    const client = await this.#newClient();
    // Without a listener, the end of an idle connection would end the process.
    client.on("error", () => this.#drop(client));
    client.on("end", () => this.#drop(client));
    const { onNotification } = this.#options;
    if (onNotification !== undefined) client.on("notification", onNotification);
    const answers = new ExpectedAnswers(this.#options.answerTimeoutMs);
    const inTime = <T>(answer: Promise<T>) => Promise.race([answers.expect(answer), answers.late]);
    try {
      await inTime(client.connect());
      // A client of a pooler, or of a name that follows the primary, may get a standby for a while.
      const { rows } = await inTime(
        client.query({ text: "SELECT pg_is_in_recovery() AS standby" }),
      );
      if (rows[0]?.standby === true) throw new Error("the server is a standby: it takes no writes");
    } catch (cause) {
      destroySocket(client);
      // Whom the server has accepted before, it will accept again: a password may be changing.
      const code = isRefusal(cause) && !this.#wasOpen ? "CANNOT_OPEN" : "CANNOT_CONNECT";
      const reason = messageOf(cause) || String((cause as { code?: unknown } | null)?.code);
      throw new RunStoreError(code, `cannot connect to PostgreSQL: ${reason}`, { cause });
    }
    if (this.#ended) {
      destroySocket(client);
      throw closedError();
    }
    this.#wasOpen = true;
    this.#open = client;
    return client;
  }

  async #newClient(): Promise<PgClient> {
    const Client = await loadDriver();
    const { connectionString } = this.#options;
    try {
      return new Client({
        connectionString,
        pipeline: true,
        keepAlive: true,
        application_name: "durable-agent-runner",
        types,
      });
    } catch (cause) {
      throw new RunStoreError("CANNOT_OPEN", `connectionString: ${messageOf(cause)}`, { cause });
    }
  }

  #drop(client: PgClient): void {
    destroySocket(client);
    if (this.#open !== client) return;
    this.#open = null;
    this.#client = null;
    if (!this.#ended) this.#options.onLost?.();
  }
}

/** The statements under way. Time in which the server owes no answer does not count. */
class ExpectedAnswers {
  /** Rejects when an answer is late. */
  readonly late: Promise<never>;
  readonly #patience: Patience;
  #expected = 0;

  constructor(timeoutMs: number) {
    const { promise, reject } = Promise.withResolvers<never>();
    this.late = promise;
    this.#patience = new Patience(timeoutMs, () => {
      const message = `PostgreSQL gave no answer within ${timeoutMs} ms`;
      reject(new RunStoreError("CONNECTION_LOST", message));
    });
  }

  get isNoneExpected(): boolean {
    return this.#expected === 0;
  }

  async expect<T>(answer: Promise<T>): Promise<T> {
    if (this.#expected++ === 0) this.#patience.begin();
    try {
      return await answer;
    } finally {
      if (--this.#expected === 0) this.forget();
      else this.#patience.begin();
    }
  }

  forget(): void {
    this.#patience.end();
  }
}

const closedError = () => new RunStoreError("RUNNER_CLOSED", "the runner is closed");

const socketOf = (client: PgClient) => client.connection?.stream;

function destroySocket(client: PgClient): void {
  socketOf(client)?.destroy();
}
