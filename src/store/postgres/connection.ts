import { messageOf, RunStoreError } from "../../protocol/errors.ts";
import {
  failureOf,
  loadDriver,
  type PgClient,
  type PgNotification,
  type PgResult,
  types,
} from "./driver.ts";

export interface ConnectionOptions {
  readonly connectionString: string;
  /** Milliseconds to wait for a connection, and for the answers of one transaction or read. */
  readonly answerTimeoutMs: number;
  /** Whether the server prepares statements. False behind a pooler that does not keep them. */
  readonly prepare: boolean;
  readonly onNotification?: (notification: PgNotification) => void;
  /** Called when an open connection has ended without being told to. */
  readonly onLost?: () => void;
}

/** A statement, named so that the server prepares it once per connection. */
export interface Statement {
  readonly name: string;
  readonly text: string;
}

/** Error codes of a server that is there and refuses to let anyone in, for a reason that stays. */
const REFUSED = /^(28|3D|42501)/;

/**
 * One connection to the server. Opened when it is first used, and again after it was lost. Its statements
 * are pipelined: a statement is sent while the answers of those before it are under way.
 */
export class Connection {
  readonly #options: ConnectionOptions;
  #client: Promise<PgClient> | null = null;
  #open: PgClient | null = null;
  #ended = false;

  constructor(options: ConnectionOptions) {
    this.#options = options;
  }

  get isOpen(): boolean {
    return this.#open !== null;
  }

  /**
   * Runs `use` with a function that sends statements. Ends the connection when `use` fails in a way that
   * leaves it in an unknown state, or takes longer than `answerTimeoutMs`: a socket may be half open.
   *
   * @throws {RunStoreError}
   */
  async use<T>(use: (send: Send) => Promise<T>): Promise<T> {
    const client = await this.#connect();
    const { answerTimeoutMs, prepare } = this.#options;
    const send: Send = ({ name, text }, values = []) =>
      client.query({ text, values, ...(prepare && name !== "" && { name }) });
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        const message = `PostgreSQL gave no answer within ${answerTimeoutMs} ms`;
        reject(new RunStoreError("CONNECTION_LOST", message));
      }, answerTimeoutMs);
    });
    try {
      return await Promise.race([use(send), late]);
    } catch (cause) {
      const { error, endsConnection } = failureOf(cause);
      if (endsConnection) this.#drop(client);
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  async end(): Promise<void> {
    this.#ended = true;
    const client = this.#open;
    if (client === null) return;
    this.#open = null;
    this.#client = null;
    const timer = setTimeout(() => destroySocket(client), 1000);
    await client.end().catch(() => undefined);
    clearTimeout(timer);
  }

  #connect(): Promise<PgClient> {
    if (this.#ended) {
      return Promise.reject(new RunStoreError("RUNNER_CLOSED", "the runner is closed"));
    }
    this.#client ??= this.#openClient().catch((error: RunStoreError) => {
      this.#client = null;
      throw error;
    });
    return this.#client;
  }

  async #openClient(): Promise<PgClient> {
    const Client = await loadDriver();
    const { connectionString, answerTimeoutMs, onNotification } = this.#options;
    let client: PgClient;
    try {
      client = new Client({
        connectionString,
        pipeline: true,
        connectionTimeoutMillis: answerTimeoutMs,
        keepAlive: true,
        application_name: "durable-agent-runner",
        types,
      });
    } catch (cause) {
      throw new RunStoreError("CANNOT_OPEN", `connectionString: ${messageOf(cause)}`, { cause });
    }
    // Without a listener, the end of an idle connection would end the process.
    client.on("error", () => this.#drop(client));
    client.on("end", () => this.#drop(client));
    if (onNotification !== undefined) client.on("notification", onNotification);
    try {
      await client.connect();
      const { rows } = await client.query({ text: "SELECT pg_is_in_recovery() AS standby" });
      if (rows[0]?.standby === true) {
        throw new RunStoreError("CANNOT_CONNECT", "the server is a standby: it takes no writes");
      }
    } catch (cause) {
      destroySocket(client);
      const state = String((cause as { code?: unknown } | null)?.code ?? "");
      const code = REFUSED.test(state) ? "CANNOT_OPEN" : "CANNOT_CONNECT";
      const message = `cannot connect to PostgreSQL: ${messageOf(cause) || state}`;
      throw new RunStoreError(code, message, { cause });
    }
    if (this.#ended) {
      destroySocket(client);
      throw new RunStoreError("RUNNER_CLOSED", "the runner is closed");
    }
    this.#open = client;
    return client;
  }

  #drop(client: PgClient): void {
    destroySocket(client);
    if (this.#open !== client) return;
    this.#open = null;
    this.#client = null;
    if (!this.#ended) this.#options.onLost?.();
  }
}

export type Send = (statement: Statement, values?: readonly unknown[]) => Promise<PgResult>;

function destroySocket(client: PgClient): void {
  client.connection?.stream?.destroy();
}
