import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { createVersion1, VERSION_1_RUNS } from "../faults/version-1-file.ts";
import type { Expectations } from "./invariants.ts";
import type { LoadProcess } from "./load-process.ts";
import { now } from "./log.ts";
import type { Act, Point, Trap } from "./orders.ts";
import type { Round } from "./round.ts";
import { mountSmallDisk } from "./small-disk.ts";

/** Something that goes wrong, and how a round brings it about. */
export interface Fault {
  readonly name: string;
  readonly what: string;
  /** Returns when it has happened, and was proved to have. */
  readonly run: (round: Round) => Promise<void>;
  readonly expectations?: Expectations;
}

/** Several lives of one process, each ended by the trap that `trapOf` sets. */
async function dieByTraps(round: Round, lives: number, trapOf: () => Trap): Promise<void> {
  for (let life = 0; life < lives; life++) {
    const trap = trapOf();
    round.detail += ` ${trap.when} ${trap.point} ${trap.skip + 1}`;
    await round.untilKilledByTrap(round.start(`p${life}`, { traps: [trap] }));
  }
}

function killAt(round: Round, points: readonly Point[], when: Trap["when"], maxSkip: number): Trap {
  const skip = round.random.integer(0, maxSkip);
  return { point: round.random.pick(points), when, skip, act: { kind: "kill" } };
}

/** A process whose threads die, one after another, at seeded moments, while it goes on. */
async function loseThreads(
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

const WRITER_POINTS: readonly Point[] = ["begin", "claim", "append", "finish", "commit"];
const WRITER_DEATHS = 3;
/** A request is read three times at most. */
const READER_DEATHS = 2;

const uncaught = (round: Round): Act => {
  const delayMs = round.random.chance(0.5) ? 0 : round.random.integer(1, 20);
  return { kind: "uncaught", delayMs };
};

async function killAtRandom(round: Round): Promise<void> {
  for (let life = 0; life < 3; life++) {
    const child = round.start(`p${life}`);
    await child.until("begun");
    if (round.random.chance(0.8)) await child.until("run", round.random.integer(1, 20));
    await round.pause(0, 100);
    await child.kill();
  }
}

async function killInRecovery(round: Round): Promise<void> {
  // Its death leaves a run with a journal.
  await dieByTraps(round, 1, () => killAt(round, ["commit-append"], "after", 30));
  const trap = { point: "recovery", skip: 0, act: { kind: "kill" } } as const;
  for (const name of ["recovers-0", "recovers-1"]) {
    const when = round.random.pick(["before", "after"] as const);
    await round.untilKilledByTrap(round.start(name, { traps: [{ ...trap, when }] }));
  }
}

async function killInMigration(round: Round): Promise<void> {
  createVersion1(round.dbPath);
  await dieByTraps(round, 2, () => killAt(round, ["migration"], "after", 4));
  const child = round.start("migrates");
  await child.until("run", 6);
}

async function killInCheckpoint(round: Round): Promise<void> {
  await dieByTraps(round, 2, () => {
    const mode = round.random.pick(["PASSIVE", "FULL", "RESTART", "TRUNCATE"]);
    const delayUs = round.random.integer(0, 300);
    const skip = round.random.integer(10, 50);
    const act = { kind: "kill-in-checkpoint", mode, delayUs } as const;
    return { point: "commit", when: "after", skip, act };
  });
}

/** A moment at which the sleeper has runs that the other takes over while it sleeps. */
async function stopProcess(round: Round): Promise<void> {
  const sleeper = round.start("sleeper", { leaseMs: 500, mix: "many-silent" });
  await sleeper.until("run", 3);
  const other = round.start("other");
  await other.until("run", 2);
  let attempts = 0;
  let taken = false;
  // Stopped within a transaction, it holds SQLite's lock: nobody takes anything over then.
  while (!taken && attempts++ < 5) {
    await round.pause(20, 200);
    sleeper.halt();
    const haltedAt = now();
    taken = await becomesTrue(2500, () => isTakenOver(sleeper, other, haltedAt));
    if (taken) {
      await round.pause(0, 400);
      sleeper.endInput();
    }
    sleeper.wake();
  }
  round.detail = `${attempts} stop(s)`;
  round.prove(taken, "no run of the stopped process was taken over");
  await round.untilReached(sleeper.exited);
}

async function becomesTrue(withinMs: number, test: () => boolean): Promise<boolean> {
  const until = now() + withinMs * 1000;
  while (now() < until) {
    if (test()) return true;
    await pause(50);
  }
  return test();
}

function isTakenOver(sleeper: LoadProcess, other: LoadProcess, since: number): boolean {
  const started = new Map<string, string>();
  for (const record of sleeper.records()) {
    if (record.what === "agent-started") started.set(record.runId, record.threadId);
    if (record.what === "agent-ended") started.delete(record.runId);
  }
  const threads = new Set(started.values());
  return other
    .records()
    .some(
      (record) =>
        record.what === "agent-started" && record.at > since && threads.has(record.threadId),
    );
}

async function fillDisk(round: Round): Promise<void> {
  // A quota needs no rights, and finds other places at which to fail.
  const disk = round.random.chance(0.5) ? mountSmallDisk(round.directory) : null;
  const roomAgainMs = round.random.integer(100, 1200);
  if (disk === null) {
    const skip = round.random.integer(5, 40);
    const act = { kind: "page-quota", liftMs: roomAgainMs } as const;
    const child = round.start("p0", { traps: [{ point: "begin", when: "before", skip, act }] });
    round.detail = `page quota, room again after ${roomAgainMs} ms`;
    await round.untilSprung(child);
    await round.untilReached(child.until("trouble DISK_FULL"));
    await round.pause(roomAgainMs, roomAgainMs + 300);
    proveTrouble(round, child, "DISK_FULL");
    return;
  }
  round.cleanUp.push(disk.unmount);
  round.dbPath = join(disk.path, "threads.db");
  round.detail = `tmpfs, room again after ${roomAgainMs} ms`;
  const child = round.start("p0");
  await child.until("run", round.random.integer(2, 20));
  disk.fill();
  await round.untilReached(child.until("trouble DISK_FULL"));
  proveTrouble(round, child, "DISK_FULL");
  await pause(roomAgainMs);
  disk.clear();
  await round.pause(100, 300);
}

function proveTrouble(round: Round, child: LoadProcess, code: string): void {
  const happened = child
    .records()
    .some((record) => record.what === "trouble" && record.code === code);
  round.prove(happened, `${child.name} had no ${code}`);
}

async function failDisk(round: Round): Promise<void> {
  const { random } = round;
  const traps = Array.from({ length: 4 }, (): Trap => {
    const point = random.pick([...WRITER_POINTS, "commit", "commit-finish"] as const);
    const when = random.pick(["before", "before", "before", "after"] as const);
    const code = random.pick(["SQLITE_IOERR_WRITE", "SQLITE_IOERR_FSYNC"]);
    const times = random.integer(1, 3);
    const act = { kind: "sqlite-error", code, times, rollback: random.chance(0.5) } as const;
    return { point, when, skip: random.integer(0, 20), act };
  });
  round.detail = traps.map(({ when, point, skip }) => `${when} ${point} ${skip + 1}`).join(", ");
  const child = round.start("p0", { traps });
  await round.untilSprung(child);
  await round.untilReached(child.until("trouble IO_ERROR"));
  proveTrouble(round, child, "IO_ERROR");
  await round.pause(50, 300);
}

const LOCK = fileURLToPath(new URL("lock.child.ts", import.meta.url));

async function holdLock(round: Round): Promise<void> {
  const { random } = round;
  const busyTimeoutMs = random.pick([null, 100, 250]);
  const child = round.start("p0", { busyTimeoutMs });
  await child.until("run", 3);
  for (let time = 0; time < 2; time++) {
    const holdMs = random.integer(300, 1000);
    round.detail += ` ${holdMs} ms`;
    const { stdout } = await promisify(execFile)(process.execPath, [
      LOCK,
      round.dbPath,
      String(holdMs),
    ]);
    const [from = 0, to = 0] = stdout.trim().split("\n").map(Number);
    // What had been committed before is still being told of in the first moments.
    const early = from + 100_000;
    const waiting = new Set<string>();
    let through = 0;
    for (const record of child.records()) {
      if (record.what === "requested" && record.at < to - 100_000) waiting.add(record.runId);
      if (record.what !== "completed" || record.at > to) continue;
      waiting.delete(record.runId);
      if (record.at > early) through++;
    }
    round.prove(waiting.size > 0, "no run waited for the lock");
    round.prove(through === 0, `${through} run(s) were completed while the lock was held`);
    await round.pause(50, 200);
  }
  if (busyTimeoutMs !== null) proveTrouble(round, child, "BUSY");
}

async function jumpClock(round: Round): Promise<void> {
  const { random } = round;
  const clocks = ["clock-0", "clock-1"].map((name) => join(round.directory, name));
  const set = (path: string, offsetMs: number) => writeFileSync(path, new Float64Array([offsetMs]));
  for (const path of clocks) set(path, 0);
  const children = clocks.map((clockPath, at) => round.start(`p${at}`, { clockPath }));
  await Promise.all(children.map((child) => child.until("run", 3)));
  const jumping = random.pick([[0], [1], [0, 1]]);
  const ahead = random.integer(20, 3600) * 1000;
  const offsets = random.shuffle([ahead, -ahead]);
  round.detail = `${jumping.length} of 2 clocks: ${offsets.join(", ")} ms`;
  for (const offsetMs of offsets) {
    for (const at of jumping) set(clocks[at] ?? "", offsetMs);
    await round.pause(400, 700);
  }
  for (const at of jumping) {
    const faults = children[at]?.records().filter(({ what }) => what === "fault") ?? [];
    round.prove(faults.length >= offsets.length, `the clock of p${at} never jumped`);
  }
}

async function killFour(round: Round): Promise<void> {
  const threads = Array.from({ length: 8 }, (_, at) => `thread-${at}`);
  const { random } = round;
  // Chosen beforehand: what is random must not depend on which process is the faster.
  const plans = [0, 1, 2, 3].map((at) => ({
    name: `p${at}`,
    threadIds: random.shuffle(threads).slice(0, 5),
    lives: [random.integer(1, 10), random.integer(1, 10)],
    lastIsKilled: random.chance(0.5),
  }));
  const live = async ({ name, threadIds, lives, lastIsKilled }: (typeof plans)[number]) => {
    for (const [life, runs] of lives.entries()) {
      const child = round.start(`${name}-${life}`, { threadIds });
      await child.until("run", runs);
      if (life < lives.length - 1 || lastIsKilled) await child.kill();
    }
  };
  await Promise.all(plans.map(live));
}

export const FAULTS: readonly Fault[] = [
  { name: "kill-at-random", what: "SIGKILL at random moments", run: killAtRandom },
  {
    name: "kill-after-claim",
    what: "SIGKILL when a claim was committed, and nothing emitted",
    run: (round) => dieByTraps(round, 2, () => killAt(round, ["commit-claim"], "after", 20)),
  },
  {
    name: "kill-mid-batch",
    what: "SIGKILL within a transaction",
    run: (round) => {
      const after = ["claim", "append", "finish"] as const;
      return dieByTraps(round, 2, () =>
        round.random.chance(0.5)
          ? killAt(round, after, "after", 25)
          : killAt(round, ["commit-claim", "commit-append", "commit-finish"], "before", 25),
      );
    },
  },
  {
    name: "kill-before-ack",
    what: "SIGKILL between a commit and its acknowledgement",
    run: (round) =>
      dieByTraps(round, 2, () => killAt(round, ["commit-append", "commit-finish"], "after", 25)),
  },
  {
    name: "kill-in-recovery",
    what: "SIGKILL while the runs of an earlier kill are recovered",
    run: killInRecovery,
  },
  {
    name: "kill-in-migration",
    what: "SIGKILL within the migration of a version 1 file",
    run: killInMigration,
    expectations: { oldRuns: VERSION_1_RUNS },
  },
  { name: "kill-in-checkpoint", what: "SIGKILL within a checkpoint", run: killInCheckpoint },
  {
    name: "writer-exits",
    what: "process.exit in the writer thread",
    run: (round) => loseThreads(round, WRITER_POINTS, 25, WRITER_DEATHS, () => ({ kind: "exit" })),
  },
  {
    name: "writer-throws",
    what: "an error that nobody catches in the writer thread",
    run: (round) => loseThreads(round, WRITER_POINTS, 25, WRITER_DEATHS, () => uncaught(round)),
  },
  {
    name: "writer-out-of-memory",
    what: "the heap of the writer thread is full",
    run: (round) =>
      loseThreads(round, WRITER_POINTS, 25, WRITER_DEATHS, () => ({ kind: "out-of-memory" })),
  },
  {
    name: "reader-exits",
    what: "process.exit in a reader thread",
    run: (round) => loseThreads(round, ["page"], 40, READER_DEATHS, () => ({ kind: "exit" })),
  },
  {
    name: "reader-throws",
    what: "an error that nobody catches in a reader thread",
    run: (round) => loseThreads(round, ["page"], 40, READER_DEATHS, () => uncaught(round)),
  },
  {
    name: "reader-out-of-memory",
    what: "the heap of a reader thread is full",
    run: (round) =>
      loseThreads(round, ["page"], 40, READER_DEATHS, () => ({ kind: "out-of-memory" })),
  },
  {
    name: "process-stopped",
    what: "SIGSTOP past the lease while another process takes over, then SIGCONT",
    run: stopProcess,
    expectations: { losers: ["sleeper"] },
  },
  { name: "disk-full", what: "no room on the disk, then room again", run: fillDisk },
  { name: "disk-errors", what: "SQLITE_IOERR_WRITE and _FSYNC, for a while", run: failDisk },
  { name: "lock-held", what: "another program holds the write lock", run: holdLock },
  { name: "clock-jumps", what: "clocks that jump past the lease and back", run: jumpClock },
  {
    name: "four-processes",
    what: "four processes on overlapping threads, each killed and restarted",
    run: killFour,
  },
];
