import type { Trial } from "../trial.ts";

export const FILE_TRIALS: readonly Trial[] = [
  {
    name: "threads",
    title: "Lists and searches of threads",
    about:
      "A file of version 1 with threads of 5 runs each is migrated and indexed, which is not measured and takes minutes. Then its first page is listed and searched, and a thread of 2000 runs is read. The longest block of the loop is that of the slowest kind of call.",
    workload: "threads",
    peers: ["durable"],
    baseline: null,
    axis: "threads",
    points: [100, 100_000],
    separate: true,
    settings: { eventsPerRun: 24, runsPerThread: 5, setUpSeconds: 600 },
    show: ["listMs", "searchMs", "twoWordsMs", "rareSearchMs", "longestBlockMs", "worstBlockMs"],
    plots: [],
    full: { seconds: 8, warmUpSeconds: 0, rounds: 1 },
    quick: null,
  },
  {
    name: "retention",
    title: "Runs beside a purge",
    about:
      "100 runs a second, each on a new thread, on a file of version 1 with 20 000 threads of 5 runs of 2.5 kB, which is migrated and indexed first. Then a purge removes all of these, while the runs go on.",
    workload: "retention",
    peers: ["durable"],
    baseline: null,
    axis: "0 before, 1 during, 2 after the purge",
    points: [0, 1, 2],
    separate: false,
    settings: { eventsPerRun: 104, oldThreads: 20_000, runsPerThread: 5, setUpSeconds: 300 },
    show: ["firstEventP99Ms", "firstEventMs", "firstEventMaxMs"],
    plots: [],
    full: { seconds: 10, warmUpSeconds: 2, rounds: 1 },
    quick: null,
  },
];
