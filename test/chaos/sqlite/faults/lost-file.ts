import { copyFileSync, existsSync, renameSync, rmSync } from "node:fs";
import type { SqliteRound } from "../round.ts";

const ALL = ["", "-wal", "-shm"] as const;
const DATA = ["", "-wal"] as const;

type Take = (path: string) => void;

/** The ways to lose a file that a process has open. */
const WAYS: readonly (readonly [name: string, take: (dbPath: string) => void])[] = [
  ["database deleted", (dbPath) => rmSync(dbPath)],
  ["WAL deleted", (dbPath) => rmSync(`${dbPath}-wal`)],
  ["all deleted", (dbPath) => each(dbPath, ALL, (path) => rmSync(path))],
  ["database moved", (dbPath) => move(dbPath)],
  ["WAL moved", (dbPath) => move(`${dbPath}-wal`)],
  ["all moved", (dbPath) => each(dbPath, ALL, move)],
  ["database replaced", (dbPath) => replace(dbPath)],
  ["WAL replaced", (dbPath) => replace(`${dbPath}-wal`)],
  ["database and WAL replaced", (dbPath) => each(dbPath, DATA, replace)],
];

function each(dbPath: string, ends: readonly string[], take: Take): void {
  for (const end of ends) take(dbPath + end);
}

const move: Take = (path) => renameSync(path, `${path}.moved`);

const replace: Take = (path) => {
  copyFileSync(path, `${path}.new`);
  renameSync(`${path}.new`, path);
};

/**
 * Deletes, moves or replaces the file of a running process. A copy made before has the file's name when
 * the round is judged. Runs that the process acknowledges later are not in the copy.
 */
export async function loseFile(round: SqliteRound): Promise<void> {
  const { random, dbPath } = round;
  const [name, take] = random.pick(WAYS);
  round.detail = name;
  const child = round.start("p0", { leaseMs: 1000 });
  await child.until("run", random.integer(2, 20));
  await round.pause(0, 100);
  await child.halt();
  const copies = DATA.filter((end) => existsSync(dbPath + end));
  for (const end of copies) copyFileSync(dbPath + end, `${dbPath}.kept${end}`);
  take(dbPath);
  child.wake();
  await round.untilReached(child.until("trouble FILE_REPLACED"));
  const isNoticed = child
    .records()
    .some((record) => record.what === "trouble" && record.code === "FILE_REPLACED");
  round.prove(isNoticed, "the process did not notice that its file was lost");
  await round.pause(50, 300);
  await child.kill();
  each(dbPath, ALL, (path) => rmSync(path, { force: true }));
  for (const end of copies) renameSync(`${dbPath}.kept${end}`, dbPath + end);
}
