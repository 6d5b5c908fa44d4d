// For `--import`: appends a letter to the file WRITER_DIARY for each action of this process's writer
// thread without a request. B: it wrote its heartbeat. D: it looked whether another connection has
// written. M: it sent a notice to the main thread. The index of threads looks, too, whenever it has waited
// long enough, and those looks are left out. So is the notice that its heartbeats were late: the machine may stall.
import { appendFileSync } from "node:fs";
import { createRequire } from "node:module";
import { parentPort } from "node:worker_threads";
import type BetterSqlite3 from "better-sqlite3";

const diary = process.env.WRITER_DIARY ?? "";
const note = (letter: string) => appendFileSync(diary, letter);

const Database = createRequire(import.meta.url)("better-sqlite3") as typeof BetterSqlite3;
const { prepare } = Database.prototype;
Database.prototype.prepare = function (this: BetterSqlite3.Database, source: string) {
  const statement = prepare.call(this, source) as BetterSqlite3.Statement<unknown[]>;
  const isOfIndex = new Error().stack?.includes("/threads/statements.ts");
  const letter = isOfIndex ? null : letterOf(source);
  if (letter !== null) {
    const { get, run } = statement;
    statement.get = (...args: unknown[]) => {
      note(letter);
      return get.apply(statement, args);
    };
    statement.run = (...args: unknown[]) => {
      note(letter);
      return run.apply(statement, args);
    };
  }
  return statement;
} as typeof prepare;

function letterOf(source: string): string | null {
  if (source.includes("data_version")) return "D";
  return source.includes("INSERT INTO runner_instances") ? "B" : null;
}

if (parentPort !== null) {
  const port = parentPort;
  const { postMessage } = port;
  port.postMessage = (message: unknown) => {
    const { kind } = (message ?? {}) as { readonly kind?: string };
    if (kind !== undefined && kind !== "overslept") note("M");
    postMessage.call(port, message);
  };
}
