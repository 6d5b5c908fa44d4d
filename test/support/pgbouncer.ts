import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { freePort } from "./free-port.ts";

export function isPgBouncerInstalled(): boolean {
  try {
    execFileSync("pgbouncer", ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/** A PgBouncer in transaction mode before a database: each transaction gets another connection. */
export class PgBouncer {
  /** Leads to the database through the pooler. */
  readonly url: string;
  readonly #port: number;
  readonly #directory = mkdtempSync(join(tmpdir(), "pgbouncer-"));
  readonly #file = join(this.#directory, "pgbouncer.ini");
  #process: ChildProcess | null = null;

  private constructor(url: string, port: number, poolSize: number) {
    this.#port = port;
    const through = new URL(url);
    through.host = `127.0.0.1:${port}`;
    this.url = through.href;
    const { hostname, port: serverPort, username, password, pathname } = new URL(url);
    const target = `host=${hostname} port=${serverPort} user=${username} password=${password}`;
    const settings = {
      listen_addr: "127.0.0.1",
      listen_port: port,
      unix_socket_dir: "",
      auth_type: "any",
      pool_mode: "transaction",
      default_pool_size: poolSize,
    };
    const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}`);
    const content = [
      "[databases]",
      `${pathname.slice(1)} = ${target}`,
      "[pgbouncer]",
      ...lines,
      "",
    ];
    writeFileSync(this.#file, content.join("\n"));
  }

  /** Before the database of `url`. The caller removes it. */
  static async before(url: string, poolSize = 5): Promise<PgBouncer> {
    const pooler = new PgBouncer(url, await freePort(), poolSize);
    await pooler.start();
    return pooler;
  }

  async start(): Promise<void> {
    // It refuses to run as root, and reads its file before it becomes the other user.
    const isRoot = process.getuid?.() === 0;
    const args = isRoot ? ["-u", "nobody", this.#file] : [this.#file];
    this.#process = spawn("pgbouncer", args, { stdio: "ignore" });
    while (!(await canConnect(this.#port))) await delay(10);
  }

  /** `kill -9`. */
  async kill(): Promise<void> {
    const pooler = this.#process;
    this.#process = null;
    if (pooler === null) return;
    pooler.kill("SIGKILL");
    await once(pooler, "exit");
  }

  async remove(): Promise<void> {
    await this.kill();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

function canConnect(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}
