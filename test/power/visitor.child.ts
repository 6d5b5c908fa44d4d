// Another program on the file, until its stdin ends. It reads in long transactions, keeps one open all
// the time, or checkpoints.
import { setTimeout as pause } from "node:timers/promises";
import Database from "better-sqlite3";
import { Random } from "../support/random.ts";

const [dbPath = "", what, seed = ""] = process.argv.slice(2);
const random = new Random(seed, "visitor");
let ending = false;
process.stdin.once("end", () => {
  ending = true;
});
process.stdin.resume();

const db = new Database(dbPath, { readonly: what !== "checkpoints", timeout: 200 });
if (what === "holds") {
  db.exec("BEGIN");
  db.prepare("SELECT count(*) FROM agent_runs").get();
}
process.stdout.write("ready\n");
while (!ending) {
  if (what === "reads") {
    db.exec("BEGIN");
    db.prepare("SELECT count(*) FROM agent_runs").get();
    await pause(random.integer(20, 200));
    db.exec("COMMIT");
    // Long enough for a checkpoint that waits for all readers.
    await pause(random.integer(0, 120));
  } else if (what === "holds") await pause(20);
  else {
    const mode = random.pick(["PASSIVE", "FULL", "RESTART", "TRUNCATE"]);
    db.pragma(`wal_checkpoint(${mode})`);
    await pause(random.integer(5, 80));
  }
}
db.close();
process.stdin.destroy();
