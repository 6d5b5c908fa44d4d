import type { LogRecord } from "../../log.ts";
import type { Act, Trap } from "../orders.ts";
import type { SqliteRound } from "../round.ts";
import { UNCAUGHT } from "../traps.ts";

type Moment = Pick<Trap, "point" | "when">;

/** A kind of thread, and where in its work it may die. */
interface Victim {
  readonly moments: readonly Moment[];
  readonly maxSkip: number;
  readonly deaths: number;
}

export const WRITER: Victim = {
  moments: [
    { point: "begin", when: "before" },
    { point: "claim", when: "after" },
    { point: "append", when: "after" },
    { point: "finish", when: "after" },
    { point: "commit", when: "before" },
    // What was committed and not acknowledged is sent again.
    { point: "commit-claim", when: "after" },
    { point: "commit-append", when: "after" },
    { point: "commit-finish", when: "after" },
  ],
  maxSkip: 20,
  deaths: 3,
};

/** A request is read five times at most. */
export const READER: Victim = {
  moments: [
    { point: "page", when: "before" },
    { point: "page", when: "after" },
  ],
  maxSkip: 12,
  deaths: 2,
};

/** A way to die, and the error that the main thread gets. */
interface Death {
  readonly act: (round: SqliteRound) => Act;
  readonly cause: string;
  readonly workerHeapMb: number | null;
  readonly maxDeaths: number;
}

export const EXIT: Death = {
  act: () => ({ kind: "exit" }),
  cause: "exit code 1",
  workerHeapMb: null,
  maxDeaths: 3,
};

export const THROW: Death = {
  act: ({ random }) => {
    const delayMs = random.chance(0.5) ? 0 : random.integer(1, 20);
    return { kind: "uncaught", delayMs };
  },
  cause: UNCAUGHT,
  workerHeapMb: null,
  maxDeaths: 3,
};

export const RUN_OUT_OF_MEMORY: Death = {
  act: () => ({ kind: "out-of-memory" }),
  cause: "ERR_WORKER_OUT_OF_MEMORY",
  workerHeapMb: 28,
  // Each death takes a while, and a run that cannot be stored for 5 s is reported as failed.
  maxDeaths: 2,
};

/** A process whose threads die, one after another, at seeded moments, while it goes on. */
export async function loseThreads(
  round: SqliteRound,
  { moments, maxSkip, ...victim }: Victim,
  { act, cause, workerHeapMb, maxDeaths }: Death,
): Promise<void> {
  const { random } = round;
  const deaths = Math.min(victim.deaths, maxDeaths);
  const traps = Array.from({ length: deaths }, (): Trap => {
    return { ...random.pick(moments), skip: random.integer(1, maxSkip), act: act(round) };
  });
  round.detail = traps.map(({ when, point, skip }) => `${when} ${point} ${skip + 1}`).join(", ");
  const child = round.start("p0", { traps, workerHeapMb });
  await round.untilSprung(child);
  const isDead = (record: LogRecord) => record.what === "thread-ended" && record.cause === cause;
  const died = await round.untilLogged(child, (all) => all.filter(isDead).length >= deaths);
  round.prove(died, `fewer than ${deaths} threads died of: ${cause}`);
  await round.pause(0, 200);
}
