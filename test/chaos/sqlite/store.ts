import { VERSION_1_RUNS } from "../../support/large-version-1-file.ts";
import { killAtRandom, killFour } from "../faults/kills.ts";
import { postTwice } from "../faults/posted-twice.ts";
import { stopProcess } from "../faults/stop.ts";
import type { ChaosStore, Fault } from "../faults.ts";
import { jumpClock } from "./faults/clock.ts";
import { failDisk, fillDisk, holdLock } from "./faults/disk.ts";
import {
  dieByTraps,
  killAt,
  killInCheckpoint,
  killInMigration,
  killInRecovery,
} from "./faults/kills.ts";
import {
  diskFullPastLease,
  killInNamespace,
  lockPastLease,
  longFinishes,
} from "./faults/leases.ts";
import { loseFile } from "./faults/lost-file.ts";
import { lookFromOutside } from "./faults/outside-look.ts";
import {
  EXIT,
  loseThreads,
  READER,
  RUN_OUT_OF_MEMORY,
  THROW,
  WRITER,
} from "./faults/thread-deaths.ts";
import { SqliteRound } from "./round.ts";

const FAULTS: readonly Fault<SqliteRound>[] = [
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
    run: (round) => loseThreads(round, WRITER, EXIT),
  },
  {
    name: "writer-throws",
    what: "an error that nobody catches in the writer thread",
    run: (round) => loseThreads(round, WRITER, THROW),
  },
  {
    name: "writer-out-of-memory",
    what: "the heap of the writer thread is full",
    run: (round) => loseThreads(round, WRITER, RUN_OUT_OF_MEMORY),
  },
  {
    name: "reader-exits",
    what: "process.exit in a reader thread",
    run: (round) => loseThreads(round, READER, EXIT),
  },
  {
    name: "reader-throws",
    what: "an error that nobody catches in a reader thread",
    run: (round) => loseThreads(round, READER, THROW),
  },
  {
    name: "reader-out-of-memory",
    what: "the heap of a reader thread is full",
    run: (round) => loseThreads(round, READER, RUN_OUT_OF_MEMORY),
  },
  {
    name: "process-stopped",
    what: "SIGSTOP past the lease while another process takes over, then SIGCONT",
    run: (round) => stopProcess(round),
    expectations: { losers: ["sleeper"] },
  },
  { name: "disk-full", what: "no room on the disk, then room again", run: fillDisk },
  { name: "disk-errors", what: "SQLITE_IOERR_WRITE and _FSYNC, for a while", run: failDisk },
  { name: "lock-held", what: "another program holds the write lock", run: holdLock },
  {
    name: "file-lost",
    what: "the database or its WAL is deleted, moved or replaced",
    run: loseFile,
    expectations: { losesFile: true },
  },
  {
    name: "outside-look",
    what: "another program looks at the file of a process, which is killed later",
    run: lookFromOutside,
  },
  {
    name: "lock-past-lease",
    what: "another program holds the write lock for longer than a lease; a writer dies meanwhile",
    run: lockPastLease,
    expectations: { stalls: true },
  },
  {
    name: "disk-full-past-lease",
    what: "no room on the disk for longer than a lease of two processes",
    run: diskFullPastLease,
    expectations: { stalls: true },
  },
  {
    name: "long-finishes",
    what: "runs whose storing takes long end together, for longer than a lease",
    run: longFinishes,
  },
  {
    name: "killed-in-namespace",
    what: "SIGKILL of a process in a pid namespace of its own, as in a container",
    run: killInNamespace,
  },
  { name: "clock-jumps", what: "clocks that jump past the lease and back", run: jumpClock },
  {
    name: "four-processes",
    what: "four processes on overlapping threads, each killed and restarted",
    run: killFour,
  },
  {
    name: "posted-twice",
    what: "run ids that come again, and requests that are sent twice, to several processes",
    run: postTwice,
  },
];

export const SQLITE: ChaosStore<SqliteRound> = {
  name: "sqlite",
  faults: FAULTS,
  openRound: async (seed, number, directory) => new SqliteRound(seed, number, directory),
};
