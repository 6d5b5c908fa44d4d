import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { Random } from "../support/random.ts";
import { type Orders, ordersInEnvironment } from "./orders.ts";
import { pathOf, RecordedProcess } from "./processes.ts";
import type { Recorder } from "./record/recording.ts";

export interface SceneOptions {
  readonly recorder: Recorder;
  readonly directory: string;
  readonly random: Random;
  readonly durability: "full" | "normal";
}

const PRELOAD = new URL("preload.ts", import.meta.url).href;

/** The tools of a fault: recorded processes on one file, and a seeded random source. */
export class Scene {
  readonly random: Random;
  readonly dbPath: string;
  readonly threadIds: readonly string[] = [0, 1, 2, 3, 4, 5].map((at) => `thread-${at}`);
  readonly #options: SceneOptions;
  readonly #seed: number;
  readonly #processes: RecordedProcess[] = [];

  constructor(options: SceneOptions) {
    this.#options = options;
    this.random = options.random;
    this.#seed = this.random.integer(0, 2 ** 31);
    this.dbPath = join(options.directory, "threads.db");
  }

  /** Starts a process under load. */
  start(name: string, orders: Partial<Orders> = {}): RecordedProcess {
    const { recorder, durability } = this.#options;
    const all: Orders = {
      name,
      seed: this.#seed,
      dbPath: this.dbPath,
      markPath: recorder.markPath,
      threadIds: this.threadIds,
      durability,
      lingerMs: this.random.pick([2, 5, 20]),
      autocheckpoint: null,
      removes: false,
      ...orders,
    };
    const args = ["--import", PRELOAD, pathOf("load.child.ts")];
    return this.#spawn(name, args, ordersInEnvironment(all));
  }

  /**
   * Starts another program on the file, which reads in long transactions, keeps one open, or
   * checkpoints.
   */
  async visit(what: "reads" | "holds" | "checkpoints"): Promise<RecordedProcess> {
    const args = [pathOf("visitor.child.ts"), this.dbPath, what, String(this.#seed)];
    const child = this.#spawn(what, args, {});
    await child.until("ready");
    return child;
  }

  /** Has the `sqlite3` command open the file, read it and close it. */
  async look(): Promise<void> {
    const sql = "SELECT count(*) FROM agent_runs";
    const child = spawn("sqlite3", [this.dbPath, sql], {
      env: { ...process.env, ...this.#options.recorder.environment },
      stdio: "ignore",
    });
    await once(child, "close");
  }

  pause(minMs: number, maxMs: number): Promise<void> {
    return pause(this.random.integer(minMs, maxMs));
  }

  /** Ends what still lives. */
  async dispose(): Promise<void> {
    await Promise.all(this.#processes.map((child) => child.kill().catch(() => undefined)));
  }

  #spawn(name: string, args: string[], environment: Record<string, string>): RecordedProcess {
    const { recorder } = this.#options;
    const child = new RecordedProcess(name, args, { ...recorder.environment, ...environment });
    this.#processes.push(child);
    return child;
  }
}
