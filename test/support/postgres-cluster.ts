import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";
import { Client } from "pg";
import { freePort } from "./free-port.ts";
import { initDatabase, PostgresProcess } from "./postgres-process.ts";

let template: Promise<string> | null = null;

/** The files of a new server. Every cluster of this process begins with a copy of them. */
async function makeTemplate(): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), "postgres-template-"));
  process.once("exit", () => rmSync(directory, { recursive: true, force: true }));
  await initDatabase(directory);
  return directory;
}

/** A server on a copy of the template, in a directory that does not exist yet. */
async function newServer(
  directory: string,
  settings: Readonly<Record<string, string>> = {},
): Promise<PostgresProcess> {
  template ??= makeTemplate();
  await promisify(execFile)("cp", ["-a", await template, directory]);
  return new PostgresProcess(await freePort(), directory, settings);
}

/** The servers of a test: a primary, and a standby if a fault needs one. */
export class Cluster {
  readonly #directory: string;
  #primary: PostgresProcess;
  #standby: PostgresProcess | null = null;

  private constructor(directory: string, primary: PostgresProcess) {
    this.#directory = directory;
    this.#primary = primary;
  }

  static async start(directory: string): Promise<Cluster> {
    const primary = await newServer(join(directory, "primary"));
    await primary.start();
    return new Cluster(directory, primary);
  }

  get primary(): PostgresProcess {
    return this.#primary;
  }

  get standby(): PostgresProcess | null {
    return this.#standby;
  }

  /** Has the primary on another disk. It is empty then. */
  async moveTo(disk: string): Promise<void> {
    await this.#primary.remove();
    this.#primary = await newServer(join(disk, "primary"));
    await this.#primary.start();
  }

  /**
   * Adds a standby, without which the primary acknowledges no commit from here on. With an asynchronous standby,
   * runs that were acknowledged could be missing from it.
   */
  async addStandby(): Promise<void> {
    const directory = join(this.#directory, "standby");
    const { conninfo } = this.#primary;
    // The primary has begun with the same files, so its log leads from them to what it has.
    this.#standby = await newServer(directory, { primary_conninfo: conninfo });
    this.#standby.beStandby();
    await this.#standby.start();
    await this.query("ALTER SYSTEM SET synchronous_standby_names = '*'");
    await this.query("SELECT pg_reload_conf()");
    const isSynchronous = "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'";
    while ((await this.query(isSynchronous)).length === 0) await pause(20);
  }

  /** The standby takes the place of the primary, which stays as it is. Returns the former primary. */
  async promoteStandby(): Promise<PostgresProcess> {
    const [former, standby] = [this.#primary, this.#standby];
    if (standby === null) throw new Error("there is no standby");
    this.#primary = standby;
    this.#standby = null;
    await this.query("SELECT pg_promote()");
    return former;
  }

  /** Executes a statement on the primary, in a session that no setting of the database ends. */
  // biome-ignore lint/suspicious/noExplicitAny: the statement says what its rows are.
  async query(text: string, values: readonly unknown[] = []): Promise<any[]> {
    const session = await this.openSession();
    try {
      return (await session.query(text, [...values])).rows;
    } finally {
      await session.end();
    }
  }

  async openSession(): Promise<Client> {
    const options = "-c statement_timeout=0 -c lock_timeout=0";
    const session = new Client({ connectionString: this.#primary.url, options });
    // The server may be killed while the session is open.
    session.on("error", () => undefined);
    await session.connect();
    return session;
  }

  /** Resolves when the primary takes connections again. */
  async untilBack(): Promise<void> {
    for (;;) {
      try {
        await this.query("SELECT 1");
        return;
      } catch {
        await pause(20);
      }
    }
  }

  async remove(): Promise<void> {
    await Promise.all([this.#primary.remove(), this.#standby?.remove()]);
  }
}
