// `node lock.child.ts DB_PATH HOLD_MS [SIGN]`: holds the write lock like another program. Prints the times at
// which it got the lock and was about to release it. With SIGN, it waits for a file `SIGN.wanted` first, and makes a
// file SIGN when it has the lock.
import { existsSync, writeFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import Database from "better-sqlite3";
import { now } from "../log.ts";

const [dbPath = "", holdMs = "0", sign] = process.argv.slice(2);
if (sign !== undefined) while (!existsSync(`${sign}.wanted`)) await pause(1);
const db = new Database(dbPath, { fileMustExist: true, timeout: 10_000 });
db.exec("BEGIN IMMEDIATE");
if (sign !== undefined) writeFileSync(sign, "");
console.log(now());
await pause(Number(holdMs));
console.log(now());
db.exec("COMMIT");
db.close();
