import { createVersion1 } from "../../../support/large-version-1-file.ts";
import type { Point, Trap } from "../orders.ts";
import type { SqliteRound } from "../round.ts";

/** A process that is started several times and each time ended by the trap that `trapOf` sets. */
export async function dieByTraps(
  round: SqliteRound,
  lives: number,
  trapOf: () => Trap,
): Promise<void> {
  for (let life = 0; life < lives; life++) {
    const trap = trapOf();
    round.detail += ` ${trap.when} ${trap.point} ${trap.skip + 1}`;
    await round.untilKilledByTrap(round.start(`p${life}`, { traps: [trap] }));
  }
}

export function killAt(
  round: SqliteRound,
  points: readonly Point[],
  when: Trap["when"],
  maxSkip: number,
): Trap {
  const skip = round.random.integer(0, maxSkip);
  return { point: round.random.pick(points), when, skip, act: { kind: "kill" } };
}

export async function killInRecovery(round: SqliteRound): Promise<void> {
  // Its death leaves a journaled run.
  await dieByTraps(round, 1, () => killAt(round, ["commit-append"], "after", 30));
  const trap = { point: "recovery", skip: 0, act: { kind: "kill" } } as const;
  for (const name of ["recovers-0", "recovers-1"]) {
    const when = round.random.pick(["before", "after"] as const);
    await round.untilKilledByTrap(round.start(name, { traps: [{ ...trap, when }] }));
  }
}

export async function killInMigration(round: SqliteRound): Promise<void> {
  createVersion1(round.dbPath);
  await dieByTraps(round, 2, () => killAt(round, ["migration"], "after", 4));
  const child = round.start("migrates");
  await child.until("run", 6);
}

export async function killInCheckpoint(round: SqliteRound): Promise<void> {
  await dieByTraps(round, 2, () => {
    const mode = round.random.pick(["PASSIVE", "FULL", "RESTART", "TRUNCATE"]);
    const delayUs = round.random.integer(0, 300);
    const skip = round.random.integer(10, 50);
    const act = { kind: "kill-in-checkpoint", mode, delayUs } as const;
    return { point: "commit", when: "after", skip, act };
  });
}
