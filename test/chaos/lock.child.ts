// `node lock.child.ts DB_PATH HOLD_MS`: holds the write lock as any other program might. Prints the
// times at which it had it and was about to let it go.
import { setTimeout as pause } from "node:timers/promises";
import Database from "better-sqlite3";
import { now } from "./log.ts";

const [dbPath = "", holdMs = "0"] = process.argv.slice(2);
const db = new Database(dbPath, { fileMustExist: true, timeout: 10_000 });
db.exec("BEGIN IMMEDIATE");
console.log(now());
await pause(Number(holdMs));
console.log(now());
db.exec("COMMIT");
db.close();
