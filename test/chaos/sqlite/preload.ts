// Loaded with `--import`, and so executed first in each thread of the process. Sets the traps of the
// process's orders, so that the product needs no code for them.
import { type NoParamCallback, openSync, readSync } from "node:fs";
import { createRequire, syncBuiltinESMExports } from "node:module";
import { isMainThread } from "node:worker_threads";
import type { Database, Statement } from "better-sqlite3";
import { type LogWriter, LogWriter as Writer } from "../log.ts";
import { readOrders } from "../orders.ts";
import type { SqliteOrders } from "./orders.ts";
import { PointFinder } from "./points.ts";
import { Traps } from "./traps.ts";

const require = createRequire(import.meta.url);
const EMPTY = { claim: [], append: [], finish: [] };

/** One clock for all threads of the process: they all read the same file. */
function breakClock(path: string, log: LogWriter): void {
  const fd = openSync(path, "r");
  const buffer = new Float64Array(1);
  const realNow = Date.now;
  let known = 0;
  Date.now = () => {
    readSync(fd, buffer, 0, 8, 0);
    const [offsetMs = 0] = buffer;
    if (offsetMs !== known) {
      known = offsetMs;
      // Only in worker threads: the main thread stores no times that are compared.
      if (!isMainThread) {
        log.write({ what: "fault", fault: "clock", point: `${offsetMs} ms`, batch: EMPTY });
      }
    }
    return realNow() + offsetMs;
  };
}

/** Gives worker threads a small heap. */
function limitWorkerHeaps(heapMb: number): void {
  const threads = require("node:worker_threads") as {
    Worker: typeof import("node:worker_threads").Worker;
  };
  const { Worker } = threads;
  threads.Worker = class extends Worker {
    constructor(...[file, options]: ConstructorParameters<typeof Worker>) {
      super(file, { ...options, resourceLimits: { maxOldGenerationSizeMb: heapMb } });
    }
  };
}

/** Records how each worker thread ends, as the main thread sees it. */
function watchThreads(log: LogWriter): void {
  process.on("worker", (worker) => {
    let cause: string | null = null;
    worker.once("error", (error: NodeJS.ErrnoException) => {
      cause = error.code ?? error.message;
    });
    worker.once("exit", (exitCode) => {
      log.write({ what: "thread-ended", cause: cause ?? `exit code ${exitCode}` });
    });
  });
}

/** Makes syncs fail. Each thread counts its own: the main thread and the writer sync the WAL. */
function failSyncs(places: readonly number[]): void {
  const fs = require("node:fs") as {
    fdatasync: (fd: number, done: NoParamCallback) => void;
    fdatasyncSync: (fd: number) => void;
  };
  const { fdatasync, fdatasyncSync } = fs;
  const error = () => Object.assign(new Error("EIO: i/o error"), { code: "EIO" });
  let place = 0;
  fs.fdatasync = (fd, done) => {
    if (!places.includes(place++)) return fdatasync(fd, done);
    process.nextTick(done, error());
  };
  fs.fdatasyncSync = (fd) => {
    if (places.includes(place++)) throw error();
    fdatasyncSync(fd);
  };
  syncBuiltinESMExports();
}

interface DatabasePrototype {
  prepare(this: Database, sql: string): Statement;
  exec(this: Database, sql: string): Database;
}

function watchDriver(orders: SqliteOrders, log: LogWriter): void {
  const { prototype } = require("better-sqlite3") as { prototype: DatabasePrototype };
  const { prepare, exec } = prototype;
  const traps = new Traps(orders, log);
  const finders = new WeakMap<Database, PointFinder>();
  const tuned = new WeakSet<Database>();

  const finderOf = (db: Database): PointFinder => {
    const finder = finders.get(db) ?? new PointFinder();
    finders.set(db, finder);
    return finder;
  };
  const around = <T>(db: Database, sql: string, parameters: unknown[], execute: () => T): T => {
    const finder = finderOf(db);
    const points = finder.find(sql, parameters);
    traps.pass(points, "before", db, finder);
    let result: T;
    try {
      result = execute();
    } catch (error) {
      traps.failed(error);
      throw error;
    }
    traps.pass(points, "after", db, finder);
    return result;
  };

  prototype.prepare = function (sql) {
    if (orders.busyTimeoutMs !== null && !tuned.has(this)) {
      tuned.add(this);
      exec.call(this, `PRAGMA busy_timeout = ${orders.busyTimeoutMs}`);
    }
    const statement = prepare.call(this, sql);
    if (!PointFinder.isPoint(sql)) return statement;
    for (const method of ["run", "get", "all", "iterate"] as const) {
      const execute = statement[method] as (...parameters: unknown[]) => never;
      statement[method] = (...parameters: unknown[]) =>
        around(this, sql, parameters, () => execute.apply(statement, parameters));
    }
    return statement;
  };
  prototype.exec = function (sql) {
    if (!PointFinder.isPoint(sql)) return exec.call(this, sql);
    return around(this, sql, [], () => exec.call(this, sql));
  };
}

const orders = readOrders<SqliteOrders>();
const log = new Writer(orders.logPath);
if (orders.clockPath !== null) breakClock(orders.clockPath, log);
if (orders.failedSyncs.length > 0) failSyncs(orders.failedSyncs);
if (isMainThread) {
  watchThreads(log);
  if (orders.workerHeapMb !== null) limitWorkerHeaps(orders.workerHeapMb);
} else watchDriver(orders, log);
