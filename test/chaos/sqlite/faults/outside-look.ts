import { outsideSqlites } from "../../../support/outside-sqlite.ts";
import type { LoadProcess } from "../../load-process.ts";
import type { SqliteRound } from "../round.ts";

/**
 * Another program opens the file, reads from it and closes it, in a situation in which a process may
 * have lost its locks on the file. Then the process goes on for a while, and is killed. A program with
 * an older SQLite deletes the WAL of a file without locks.
 */
export async function lookFromOutside(round: SqliteRound): Promise<void> {
  const program = outsideSqlites().find(({ unfit }) => unfit === null);
  const situation = round.random.pick([replaceWriter, openSecondRunner]);
  const looks = round.random.integer(1, 3);
  const child = await situation(round);
  if (program === undefined) round.detail += "; nobody looked: no older sqlite3 or python3 here";
  for (let look = 0; look < looks; look++) {
    const stored = program?.ask(round.dbPath, "SELECT count(*) FROM agent_runs");
    if (stored !== undefined) round.prove(Number(stored) > 0, "who looked saw no runs");
    await child.until("run", runsOf(child) + round.random.integer(3, 10));
  }
  await child.kill();
}

async function openSecondRunner(round: SqliteRound): Promise<LoadProcess> {
  round.detail = "second runner";
  const child = round.start("p0");
  await child.until("run", 3);
  child.openSecondRunner();
  await child.until("second-runner");
  return child;
}

async function replaceWriter(round: SqliteRound): Promise<LoadProcess> {
  round.detail = "writer replaced";
  const skip = round.random.integer(5, 20);
  const trap = { point: "commit-finish", when: "after", skip, act: { kind: "exit" } } as const;
  const child = round.start("p0", { traps: [trap] });
  await round.untilSprung(child);
  // The file is open again, by the new writer, beside the readers.
  await child.until("run", runsOf(child) + 3);
  return child;
}

/** How many runs the process has reported as complete. */
function runsOf(child: LoadProcess): number {
  return child.records().filter(({ what }) => what === "completed").length;
}
