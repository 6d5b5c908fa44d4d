import { closeSync, existsSync, openSync } from "node:fs";
import { createRequire } from "node:module";
import { Worker } from "node:worker_threads";
import type { Database } from "better-sqlite3";
import { type LogWriter, now } from "../log.ts";
import { type Act, type Point, type SqliteOrders, signOfLock, type Trap } from "./orders.ts";
import type { PointFinder } from "./points.ts";

/** The error of a thread that was told to throw. */
export const UNCAUGHT = "an error that nobody catches";

type Driver = typeof import("better-sqlite3");

/** SQLite's own limit. https://www.sqlite.org/limits.html#max_page_count */
const MAX_PAGES = 4_294_967_294;

/** The traps of one process, as one of its threads sees them. */
export class Traps {
  readonly #orders: SqliteOrders;
  readonly #log: LogWriter;
  /** The trap that is set. The traps before it have sprung, in this thread or an earlier thread. */
  #current = 0;
  #passed = 0;
  #errorsLeft = 0;
  #quota: { liftMs: number; since: number | null } | null = null;
  #killer: Killer | null = null;

  constructor(orders: SqliteOrders, log: LogWriter) {
    this.#orders = orders;
    this.#log = log;
    while (existsSync(this.#marker(this.#current))) this.#current++;
    if (orders.traps.some(({ act }) => act.kind === "kill-in-checkpoint")) {
      this.#killer = new Killer(orders.logPath);
    }
  }

  /** Called before and after a statement that is one of the points. */
  pass(points: readonly Point[], when: Trap["when"], db: Database, finder: PointFinder): void {
    if (this.#quota !== null && when === "before" && points.includes("begin")) this.#lift(db);
    const trap = this.#orders.traps[this.#current];
    if (trap === undefined || trap.when !== when || !points.includes(trap.point)) return;
    if (this.#passed++ < trap.skip) return;
    this.#spring(trap, db, finder);
  }

  /** Called when a statement failed. */
  failed(error: unknown): void {
    const full = error instanceof Error && "code" in error && error.code === "SQLITE_FULL";
    if (full && this.#quota !== null) this.#quota.since ??= now();
  }

  #spring({ act, point, when }: Trap, db: Database, finder: PointFinder): void {
    if (act.kind === "kill-in-checkpoint") {
      // The checkpoint may end before the kill: then the trap waits for the next one.
      this.#passed = 0;
      this.#killer?.arm({ fault: act.kind, point, batch: finder.batch }, act.delayUs);
      db.pragma(`wal_checkpoint(${act.mode})`);
      this.#killer?.disarm();
      return;
    }
    if (this.#errorsLeft === 0) {
      this.#mark();
      this.#log.write({
        what: "fault",
        fault: act.kind,
        point: `${when} ${point}`,
        batch: finder.batch,
      });
    }
    this.#act(act, db);
  }

  #act(act: Act, db: Database): void {
    switch (act.kind) {
      case "kill":
        process.kill(process.pid, "SIGKILL");
        // The process is killed here.
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
        return;
      case "exit":
        process.exit(1);
        return;
      case "uncaught": {
        // The next trap is for the successor of this thread.
        this.#current = this.#orders.traps.length;
        const fail = () => {
          throw new Error(UNCAUGHT);
        };
        if (act.delayMs === 0) queueMicrotask(fail);
        else setTimeout(fail, act.delayMs);
        return;
      }
      case "exit-under-lock":
        haveLocked(this.#orders);
        process.exit(1);
        return;
      case "slow":
        if (this.#errorsLeft === 0) this.#errorsLeft = act.times;
        this.#errorsLeft--;
        if (this.#errorsLeft === 0) this.#next();
        sleep(act.ms);
        return;
      case "out-of-memory": {
        const kept: number[][] = [];
        for (;;) kept.push(new Array<number>(20_000).fill(0.5));
      }
      case "sqlite-error": {
        if (this.#errorsLeft === 0) this.#errorsLeft = act.times;
        this.#errorsLeft--;
        if (this.#errorsLeft === 0) this.#next();
        if (act.rollback && db.inTransaction) db.exec("ROLLBACK");
        const { SqliteError } = createRequire(import.meta.url)("better-sqlite3") as Driver;
        throw new SqliteError("disk I/O error", act.code);
      }
      case "page-quota":
        this.#next();
        db.pragma(`max_page_count = ${db.pragma("page_count", { simple: true })}`);
        this.#quota = { liftMs: act.liftMs, since: null };
    }
  }

  #lift(db: Database): void {
    const quota = this.#quota;
    if (quota?.since == null || now() - quota.since < quota.liftMs * 1000) return;
    this.#quota = null;
    db.pragma(`max_page_count = ${MAX_PAGES}`);
  }

  #mark(): void {
    closeSync(openSync(this.#marker(this.#current), "wx"));
  }

  #next(): void {
    this.#current++;
    this.#passed = 0;
  }

  #marker(at: number): string {
    return `${this.#orders.logPath}.sprung-${at}`;
  }
}

function sleep(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/**
 * Returns when another program has the write lock. That program was started by the round: while a program starts,
 * other processes could write, and this one would seem to be dead.
 */
function haveLocked({ logPath }: SqliteOrders): void {
  const sign = signOfLock(logPath);
  closeSync(openSync(`${sign}.wanted`, "w"));
  while (!existsSync(sign)) sleep(1);
}

/** A thread that kills the process while another thread is inside SQLite. */
class Killer {
  readonly #flag = new Int32Array(new SharedArrayBuffer(4));
  readonly #worker: Worker;

  constructor(logPath: string) {
    this.#worker = new Worker(KILLER, {
      eval: true,
      execArgv: [],
      workerData: { logPath, flag: this.#flag },
    });
    this.#worker.unref();
  }

  arm(record: object, delayUs: number): void {
    this.#worker.postMessage({ record: { what: "fault", ...record }, delayUs });
    // Wait until the killer spins.
    while (Atomics.load(this.#flag, 0) !== 1) Atomics.wait(this.#flag, 0, 0, 1);
    Atomics.store(this.#flag, 0, 2);
  }

  /** Disarms the killer: from here on, a kill would be too late. */
  disarm(): void {
    Atomics.compareExchange(this.#flag, 0, 2, 0);
    // The killer has taken the flag: it is about to kill.
    if (Atomics.load(this.#flag, 0) === 3) Atomics.wait(this.#flag, 0, 3);
  }
}

/** 0 idle, 1 spinning, 2 the checkpoint has begun, 3 killing. */
const KILLER = `
const { parentPort, workerData: { flag, logPath } } = require("node:worker_threads");
const { appendFileSync } = require("node:fs");
const now = () => process.hrtime.bigint() / 1000n;
parentPort.on("message", ({ record, delayUs }) => {
  Atomics.store(flag, 0, 1);
  Atomics.notify(flag, 0);
  while (Atomics.load(flag, 0) === 1);
  const end = now() + BigInt(delayUs);
  while (now() < end);
  if (Atomics.compareExchange(flag, 0, 2, 3) !== 2) return;
  appendFileSync(logPath, JSON.stringify({ at: Number(now()), ...record }) + "\\n");
  process.kill(process.pid, "SIGKILL");
});
`;
