import { randomUUID } from "node:crypto";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "pg";
import { freePort } from "./free-port.ts";
import { initDatabase, PostgresProcess, type ServerSettings } from "./postgres-process.ts";

/** A PostgreSQL server: that of `POSTGRES_URL`, or one of its own, which `stop` removes. */
export class PostgresServer {
  readonly #url: string;
  readonly #own: PostgresProcess | null;
  readonly #made: string[] = [];

  constructor(url: string, own: PostgresProcess | null) {
    this.#url = url;
    this.#own = own;
  }

  /** The server that can be killed. Throws for that of `POSTGRES_URL`. */
  get own(): PostgresProcess {
    if (this.#own === null) throw new Error("the server of POSTGRES_URL is not killed");
    return this.#own;
  }

  /** Whether the server is one that the tests may kill. */
  get isOwn(): boolean {
    return this.#own !== null;
  }

  /** The URL of a new, empty database. */
  async newDatabase(): Promise<string> {
    const name = `test_${randomUUID().replaceAll("-", "")}`;
    await this.query(`CREATE DATABASE ${name}`);
    this.#made.push(name);
    const url = new URL(this.#url);
    url.pathname = `/${name}`;
    return url.href;
  }

  /** Executes a statement on the server, or on one of its databases. */
  // biome-ignore lint/suspicious/noExplicitAny: the statement says what its rows are.
  async query(text: string, url = this.#url): Promise<any[]> {
    const client = new Client({ connectionString: url });
    await client.connect();
    try {
      return (await client.query(text)).rows;
    } finally {
      await client.end();
    }
  }

  async stop(): Promise<void> {
    if (this.#own !== null) return this.#own.remove();
    for (const name of this.#made) await this.query(`DROP DATABASE ${name} WITH (FORCE)`);
  }
}

/** `settings` are those of a server of its own, beside the settings of the tests or instead of them. */
export async function startPostgres(settings: ServerSettings = {}): Promise<PostgresServer> {
  const { POSTGRES_URL } = process.env;
  if (POSTGRES_URL !== undefined) return new PostgresServer(POSTGRES_URL, null);
  const directory = mkdtempSync(join(tmpdir(), "postgres-"));
  await initDatabase(directory);
  const own = new PostgresProcess(await freePort(), directory, settings);
  await own.start();
  return new PostgresServer(own.url, own);
}
