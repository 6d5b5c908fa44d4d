import type { LogRecord } from "../log.ts";
import type { Act, Point, Trap } from "../orders.ts";
import type { Round } from "../round.ts";
import { UNCAUGHT } from "../traps.ts";

/** A kind of thread, and where in its work it may die. */
interface Victim {
  readonly points: readonly Point[];
  readonly maxSkip: number;
  readonly deaths: number;
}

export const WRITER_POINTS: readonly Point[] = ["begin", "claim", "append", "finish", "commit"];

export const WRITER: Victim = { points: WRITER_POINTS, maxSkip: 25, deaths: 3 };

/** A request is read three times at most. */
export const READER: Victim = { points: ["page"], maxSkip: 40, deaths: 2 };

/** A way to die, and what the main thread is told of it. */
interface Death {
  readonly act: (round: Round) => Act;
  readonly cause: string;
  readonly workerHeapMb: number | null;
}

export const EXIT: Death = {
  act: () => ({ kind: "exit" }),
  cause: "exit code 1",
  workerHeapMb: null,
};

export const THROW: Death = {
  act: ({ random }) => {
    const delayMs = random.chance(0.5) ? 0 : random.integer(1, 20);
    return { kind: "uncaught", delayMs };
  },
  cause: UNCAUGHT,
  workerHeapMb: null,
};

export const RUN_OUT_OF_MEMORY: Death = {
  act: () => ({ kind: "out-of-memory" }),
  cause: "ERR_WORKER_OUT_OF_MEMORY",
  workerHeapMb: 48,
};

/** A process whose threads die, one after another, at seeded moments, while it goes on. */
export async function loseThreads(
  round: Round,
  { points, maxSkip, deaths }: Victim,
  { act, cause, workerHeapMb }: Death,
): Promise<void> {
  const { random } = round;
  const traps = Array.from({ length: deaths }, (): Trap => {
    const when = random.pick(["before", "after"] as const);
    const skip = random.integer(1, maxSkip);
    return { point: random.pick(points), when, skip, act: act(round) };
  });
  round.detail = traps.map(({ when, point, skip }) => `${when} ${point} ${skip + 1}`).join(", ");
  const child = round.start("p0", { traps, workerHeapMb });
  await round.untilSprung(child);
  const isDead = (record: LogRecord) => record.what === "thread-ended" && record.cause === cause;
  const died = await round.untilLogged(child, (all) => all.filter(isDead).length >= deaths);
  round.prove(died, `fewer than ${deaths} threads died of: ${cause}`);
  await round.pause(0, 200);
}
