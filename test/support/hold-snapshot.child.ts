// `node hold-snapshot.child.ts DB_PATH`: another program that reads the file, and holds what it reads until its
// stdin ends. Prints "holding".
import { createRequire } from "node:module";
import type BetterSqlite3 from "better-sqlite3";

const Database = createRequire(import.meta.url)("better-sqlite3") as typeof BetterSqlite3;
const db = new Database(process.argv[2] ?? "", { readonly: true });
db.exec("BEGIN");
db.prepare("SELECT count(*) FROM agent_runs").get();
process.stdout.write("holding\n");
for await (const _ of process.stdin);
db.exec("COMMIT");
db.close();
