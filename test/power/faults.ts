import { spawnSync } from "node:child_process";
import { createVersion1, VERSION_1_RUNS } from "../support/large-version-1-file.ts";
import type { Random } from "../support/random.ts";
import type { FailedSyncs } from "./record/recording.ts";
import type { Scene } from "./scene.ts";

/** A fault of the recorded processes. */
export interface Fault {
  readonly name: string;
  readonly what: string;
  readonly run: (scene: Scene) => Promise<void>;
  /** Called before the recording begins. */
  readonly prepare?: (dbPath: string) => void;
  /** Runs that were in the file before. */
  readonly oldRuns?: number;
  readonly failedSyncs?: (random: Random) => FailedSyncs;
  /** Why the fault cannot happen on this machine, or null. */
  readonly missing?: () => string | null;
}

/** Small, so that the WAL starts again several times within a second. */
const CHECKPOINT_PAGES = 100;

async function load(scene: Scene): Promise<void> {
  const child = scene.start("load");
  await child.until("run", scene.random.integer(60, 120));
  await child.finish();
}

async function wrapTheWal(scene: Scene): Promise<void> {
  const child = scene.start("load", { autocheckpoint: CHECKPOINT_PAGES });
  await child.until("run", scene.random.integer(80, 140));
  await child.finish();
}

async function failSyncs(scene: Scene): Promise<void> {
  const autocheckpoint = scene.random.pick([null, CHECKPOINT_PAGES]);
  const child = scene.start("load", { autocheckpoint });
  await child.until("run", scene.random.integer(80, 140));
  await child.finish();
}

async function removeMuch(scene: Scene): Promise<void> {
  const child = scene.start("load", { removes: true });
  await child.until("removed", 3);
  await child.finish();
}

/** Several syncs of runs, and several syncs of checkpoints if there are any. */
function somePlaces(random: Random): FailedSyncs {
  const places = (count: number, to: number) =>
    Array.from({ length: count }, () => random.integer(4, to));
  return { wal: places(6, 60), database: random.chance(0.5) ? places(2, 9) : [] };
}

async function failSyncsBesideReader(scene: Scene): Promise<void> {
  const child = scene.start("load");
  await child.until("ready");
  const reader = await scene.visit("reads");
  await child.until("run", scene.random.integer(80, 140));
  await Promise.all([child.finish(), reader.finish()]);
}

async function failAndDie(scene: Scene): Promise<void> {
  const child = scene.start("fails");
  await child.until("trouble IO_ERROR");
  await child.kill();
  const next = scene.start("next");
  await next.until("run", scene.random.integer(40, 80));
  await next.finish();
}

async function failAndBeJoined(scene: Scene): Promise<void> {
  const child = scene.start("fails");
  await child.until("ready");
  const reader = await scene.visit("holds");
  await child.until("trouble IO_ERROR");
  // It opened the file after the failure: its own syncs do not report it.
  const late = scene.start("late");
  await late.until("run", scene.random.integer(20, 60));
  await reader.finish();
  await child.finish();
  await late.finish();
}

async function shareTheFile(scene: Scene): Promise<void> {
  const children = [0, 1, 2].map((at) =>
    scene.start(`p${at}`, {
      threadIds: scene.threadIds.slice(at, at + 4),
      autocheckpoint: scene.random.pick([null, CHECKPOINT_PAGES]),
    }),
  );
  await Promise.all(children.map((child) => child.until("run", scene.random.integer(20, 60))));
  for (const child of children) await child.finish();
}

async function checkpointFromOutside(scene: Scene): Promise<void> {
  const child = scene.start("load");
  await child.until("ready");
  const visitor = await scene.visit("checkpoints");
  await child.until("run", scene.random.integer(60, 120));
  await Promise.all([child.finish(), visitor.finish()]);
}

async function killAndRecover(scene: Scene): Promise<void> {
  for (let life = 0; life < 2; life++) {
    const child = scene.start(`killed-${life}`);
    await child.until("run", scene.random.integer(10, 40));
    await scene.pause(0, 20);
    await child.kill();
  }
  const child = scene.start("recovers");
  await child.until("run", scene.random.integer(10, 40));
  await child.finish();
}

async function closeAndReopen(scene: Scene): Promise<void> {
  const child = scene.start("load");
  for (let life = 1; life <= 3; life++) {
    await child.until("ready", life);
    await child.until("run", life * scene.random.integer(15, 30));
    child.tell("reopen");
  }
  await child.until("ready", 4);
  await child.finish();
  const next = scene.start("next");
  await next.until("run", 20);
  await next.finish();
}

async function lookFromOutside(scene: Scene): Promise<void> {
  const child = scene.start("load");
  await child.until("run", scene.random.integer(20, 40));
  child.tell("second");
  await child.until("second");
  await scene.look();
  await child.until("run", scene.random.integer(60, 90));
  await child.kill();
  const next = scene.start("next");
  await next.until("run", 10);
  await next.finish();
}

function withoutSqlite3(): string | null {
  const { status, error } = spawnSync("sqlite3", ["--version"]);
  return error === undefined && status === 0 ? null : "there is no sqlite3 command";
}

export const FAULTS: readonly Fault[] = [
  { name: "load", what: "runs, and no checkpoint before the file is closed", run: load },
  {
    name: "checkpoints",
    what: "a WAL that is checkpointed and wraps all the time",
    run: wrapTheWal,
  },
  {
    name: "failing-syncs",
    what: "syncs that fail, after which the kernel calls clean what it could not write",
    run: failSyncs,
    failedSyncs: somePlaces,
  },
  {
    name: "failing-syncs-reader",
    what: "the same, with a reader that begins between the failure and what makes it good",
    run: failSyncsBesideReader,
    failedSyncs: somePlaces,
  },
  {
    name: "failing-syncs-killed",
    what: "a process that is killed when a sync has failed, and another that goes on",
    run: failAndDie,
    failedSyncs: (random) => ({ wal: [random.integer(5, 20)] }),
  },
  {
    name: "failing-syncs-joined",
    what: "a reader keeps a failed sync from being made good, and another process opens the file",
    run: failAndBeJoined,
    failedSyncs: (random) => ({ wal: [random.integer(5, 20)] }),
  },
  {
    name: "removals",
    what: "removals whose checkpoints a thread of their own makes",
    run: removeMuch,
  },
  {
    name: "failing-removals",
    what: "the same, with syncs of runs and of these checkpoints that fail",
    run: removeMuch,
    failedSyncs: (random) => ({
      wal: Array.from({ length: 6 }, () => random.integer(4, 60)),
      database: [random.integer(4, 6)],
    }),
  },
  { name: "processes", what: "three processes on one file", run: shareTheFile },
  {
    name: "outside-checkpoints",
    what: "another program checkpoints in all modes",
    run: checkpointFromOutside,
  },
  {
    name: "recovery",
    what: "processes that are killed, and others that recover the file",
    run: killAndRecover,
  },
  {
    name: "reopening",
    what: "runners and processes that close the file and open it again",
    run: closeAndReopen,
  },
  {
    name: "migration",
    what: "a file of version 1 that is migrated",
    run: load,
    prepare: createVersion1,
    oldRuns: VERSION_1_RUNS,
  },
  {
    name: "outside-look",
    what: "an older SQLite opens and closes the file after a second runner was opened",
    run: lookFromOutside,
    missing: withoutSqlite3,
  },
];
