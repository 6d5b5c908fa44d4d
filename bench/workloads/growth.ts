import { rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { GrownFile } from "../growth/grown-file.ts";
import { makeFile } from "../growth/kept-file.ts";
import { COMMON_WORDS, RARE_WORDS, SHARE_WORDS } from "../growth/talks.ts";
import { RARE_THREADS } from "../growth/write-file.ts";
import type { Point } from "../results.ts";
import { beginSteadily } from "./steady.ts";
import type { Assignment } from "./workload.ts";

/** How often each call is measured. A short trial measures each less often. */
const COUNTS = { openings: 7, crashes: 3, threads: 100, connects: 100, lists: 15 };

/** Seconds of a trial from which on it measures each call so often. */
const FULL_SECONDS = 4;

/** The steady load: so many runs a second over so many threads, in parts that take turns. */
const STEADY = { runsPerSecond: 100, threads: 100, parts: 4 };

/** No trial uses more threads: those of a file of 10 000 runs. */
const MAX_THREADS = 400;

/** Threads of a page. */
const PAGE = 50;

/** Runs on threads that the runner has not used since it was opened, and on the same threads again. */
const IDLE = [
  ["claimColdMs", "finishColdMs"],
  ["claimMs", "finishMs"],
] as const;

type Each = (rounds: number, call: (file: GrownFile) => Promise<unknown>) => Promise<void>;

/**
 * The same calls on a small and on a large file, in turn, so that a slow phase of the machine affects both. The last
 * point is the kept file. The others are made here, in the directory of that file.
 */
export async function measureGrowth(assignment: Assignment): Promise<readonly Point[]> {
  const { points, seconds, settings } = assignment;
  const { keptFile = "" } = settings;
  const made = points
    .slice(0, -1)
    .map((runs) => ({ runs, dbPath: join(dirname(keptFile), `growth-${runs}-new.db`) }));
  const remove = () => {
    for (const { dbPath } of made) {
      for (const end of ["", "-wal", "-shm"]) rmSync(`${dbPath}${end}`, { force: true });
    }
  };
  remove();
  try {
    for (const { dbPath, runs } of made) await makeFile(dbPath, runs, () => undefined);
    const kept = { dbPath: keptFile, runs: points.at(-1) ?? 0 };
    const files = [...made, kept].map(({ dbPath, runs }) => new GrownFile(dbPath, runs));
    await measureFiles(files, seconds);
    return files.map((file) => file.point());
  } finally {
    remove();
  }
}

async function measureFiles(files: readonly GrownFile[], seconds: number): Promise<void> {
  const share = Math.min(1, seconds / FULL_SECONDS);
  const times = (count: number) => Math.max(1, Math.ceil(count * share));
  const each: Each = async (rounds, call) => {
    for (let round = 0; round < rounds; round++) for (const file of files) await call(file);
  };
  await each(1, (file) => file.warm(MAX_THREADS));
  await each(1, (file) => warmUp(file));
  await each(times(COUNTS.openings), async (file) => {
    await file.open("openMs");
    await file.close();
  });
  await each(times(COUNTS.crashes), async (file) => {
    await file.recover();
    await file.close();
  });
  await each(1, (file) => file.open("openMs"));

  const threadsOf = (count: number) => {
    const threads = new Map(files.map((file) => [file, file.nextThreads(count)]));
    return (file: GrownFile, at: number) => threads.get(file)?.[at % count] ?? "";
  };
  const idle = threadsOf(times(COUNTS.threads));
  for (const [claim, finish] of IDLE) {
    for (let at = 0; at < times(COUNTS.threads); at++) {
      await each(1, (file) => file.run(idle(file, at), claim, finish));
    }
  }
  const steady = threadsOf(STEADY.threads);
  await each(STEADY.parts, async (file) => {
    const until = performance.now() + (seconds * 1000) / STEADY.parts;
    let begun = 0;
    await beginSteadily(
      STEADY.runsPerSecond,
      () => performance.now() >= until,
      () => file.run(steady(file, begun++), "steadyClaimMs", "steadyFinishMs"),
    );
  });
  await each(times(COUNTS.connects), async (file) => {
    const [threadId = ""] = file.nextThreads(1);
    await file.connect(threadId);
  });
  await measureLists(each, times(COUNTS.lists));
  await each(1, (file) => file.close());
}

/** Compiles what is measured. */
async function warmUp(file: GrownFile): Promise<void> {
  await file.open("openMs");
  for (const threadId of file.nextThreads(10)) {
    await file.run(threadId, "claimMs", "finishMs");
    await file.connect(threadId);
  }
  await file.close();
  file.forget();
}

async function measureLists(each: Each, rounds: number): Promise<void> {
  const isFull = (threads: number) => threads === PAGE;
  const middles = new Map<GrownFile, string>();
  await each(1, async (file) => middles.set(file, await file.middle()));
  const [one = "", other = ""] = SHARE_WORDS;
  await each(rounds, async (file) => {
    await file.list("listMs", {}, isFull);
    await file.list("deepListMs", { cursor: middles.get(file) ?? "" }, isFull);
    await file.list("searchMs", { search: COMMON_WORDS.split(" ")[0] ?? "" }, isFull);
    await file.list("twoWordsMs", { search: COMMON_WORDS }, isFull);
    await file.list("rareWordsMs", { search: RARE_WORDS }, (found) => found === RARE_THREADS);
  });
  // They push the pages of the others out of the cache.
  await each(rounds, async (file) => {
    await file.list("shareSearchMs", { search: one }, (found) => found > 0);
    await file.list("disjointSearchMs", { search: `${one} ${other}` }, (found) => found === 0);
  });
}
