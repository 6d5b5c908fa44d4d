import type { Act, Point, Trap } from "../orders.ts";
import type { Round } from "../round.ts";

/** A process whose threads die, one after another, at seeded moments, while it goes on. */
export async function loseThreads(
  round: Round,
  points: readonly Point[],
  maxSkip: number,
  deaths: number,
  actOf: () => Act,
): Promise<void> {
  const { random } = round;
  const traps = Array.from({ length: deaths }, (): Trap => {
    const when = random.pick(["before", "after"] as const);
    return { point: random.pick(points), when, skip: random.integer(1, maxSkip), act: actOf() };
  });
  const workerHeapMb = traps.some(({ act }) => act.kind === "out-of-memory") ? 48 : null;
  round.detail = traps.map(({ when, point, skip }) => `${when} ${point} ${skip + 1}`).join(", ");
  const child = round.start("p0", { traps, workerHeapMb });
  await round.untilSprung(child);
  await round.pause(0, 200);
}

export const WRITER_POINTS: readonly Point[] = ["begin", "claim", "append", "finish", "commit"];
export const WRITER_DEATHS = 3;
/** A request is read three times at most. */
export const READER_DEATHS = 2;

export const uncaught = (round: Round): Act => {
  const delayMs = round.random.chance(0.5) ? 0 : round.random.integer(1, 20);
  return { kind: "uncaught", delayMs };
};
