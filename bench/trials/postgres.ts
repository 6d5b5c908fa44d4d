import type { Trial } from "../trial.ts";

export const POSTGRES_TRIALS: readonly Trial[] = [
  {
    name: "postgres",
    title: "PostgreSQL: completed runs of one, two and four hosts",
    about:
      "A server of its own, with its default durability, on the same machine. 200 threads in all, shared by so many processes; runs of 104 events, which are stored as 3 kB. The limit inserts rows of the same size into a table of the same shape. The processor time of the server is what a server on another machine would have to give.",
    workload: "postgres",
    peers: ["postgres", "postgres-store", "postgres-limit"],
    baseline: "postgres-limit",
    axis: "hosts",
    points: [1, 2, 4],
    separate: true,
    settings: { eventsPerRun: 104 },
    needs: "postgres",
    show: [
      "runsPerSecond",
      "serverUsPerRun",
      "mainUsPerRun",
      "walBytesPerRun",
      "connections",
      "serverMiBPerHost",
    ],
    plots: [],
    // Each process compiles what it executes often: with four of them on two cores, that takes seconds.
    full: { seconds: 3, warmUpSeconds: 6, rounds: 1, roundsAt: { 1: 2 } },
    quick: { seconds: 1, warmUpSeconds: 0.5, rounds: 1, points: [1] },
  },
  {
    name: "postgres-follow",
    title: "PostgreSQL: following a run of another host",
    about:
      "One process runs, another one on the same database is connected: how much later a delta arrives there than it was emitted. `lingerMs` is 50.",
    workload: "follow",
    peers: ["postgres"],
    baseline: null,
    axis: "events/s",
    points: [50],
    separate: true,
    settings: {},
    needs: "postgres",
    show: ["lagP50Ms", "lagP99Ms"],
    plots: [],
    full: { seconds: 4, warmUpSeconds: 0.5, rounds: 2 },
    quick: null,
  },
];
