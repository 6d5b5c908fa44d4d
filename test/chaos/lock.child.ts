// `node lock.child.ts DB_PATH HOLD_MS`: holds the write lock like another program. Prints the times at
// which it got the lock and was about to release it.
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
