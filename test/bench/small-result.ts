import type { BenchResult, TrialResult } from "../../bench/results.ts";

const load: TrialResult = {
  name: "throughput",
  title: "Throughput",
  about: "Made by hand: 1 < 2.",
  axis: "threads",
  show: ["runsPerSecond", "loopDelayP99Ms"],
  baseline: "synchronous",
  plots: [
    {
      title: "Over threads",
      kind: "line",
      figures: ["runsPerSecond"],
      xScale: "log",
      yScale: "log",
    },
    {
      title: "Delay",
      kind: "percentiles",
      figures: ["loopDelayP50Ms", "loopDelayP99Ms"],
      at: 200,
      xScale: "steps",
      yScale: "log",
    },
  ],
  samples: [
    { peer: "synchronous", round: 0, x: 1, figures: { runsPerSecond: 80 } },
    { peer: "durable", round: 0, x: 1, figures: { runsPerSecond: 640 } },
    {
      peer: "synchronous",
      round: 0,
      x: 200,
      figures: { runsPerSecond: 200, loopDelayP50Ms: 300, loopDelayP99Ms: 700 },
    },
    {
      peer: "durable",
      round: 0,
      x: 200,
      figures: { runsPerSecond: 8000, loopDelayP50Ms: 0, loopDelayP99Ms: 5 },
    },
    { peer: "synchronous", round: 1, x: 200, figures: { runsPerSecond: 100 } },
    { peer: "durable", round: 1, x: 200, figures: { runsPerSecond: 9000, loopDelayP99Ms: 7 } },
  ],
};

const pace: TrialResult = {
  name: "model-pace",
  title: "Pace",
  about: "",
  axis: "threads",
  show: ["eventsPerSecond"],
  baseline: null,
  plots: [
    { title: "Queue", kind: "course", figures: ["queueKiB"], xScale: "linear", yScale: "linear" },
  ],
  samples: [
    {
      peer: "durable",
      round: 0,
      x: 1000,
      figures: { eventsPerSecond: 50_000 },
      series: {
        queueKiB: [
          [0.1, 80],
          [0.2, 120],
        ],
      },
    },
  ],
};

const follow: TrialResult = {
  name: "follow",
  title: "Follow",
  about: "",
  axis: "events/s",
  show: ["lagP50Ms"],
  baseline: null,
  plots: [],
  samples: [{ peer: "durable", round: 0, x: 50, figures: { lagP50Ms: null } }],
};

const empty: TrialResult = { ...follow, name: "micro", title: "Micro", samples: [] };

/** A result with several rounds, a missing figure and a failed trial. */
export const SMALL_RESULT: BenchResult = {
  format: 2,
  startedAt: "2026-01-02T03:04:05.000Z",
  seconds: 12,
  mode: "quick",
  command: "npm run bench -- --quick",
  machine: { processor: "Abacus <9000>, 2 cores" },
  takenByOthers: 0.4,
  versions: { node: "24.0.0" },
  peers: [
    {
      name: "durable",
      label: "SqliteAgentRunner",
      short: "SQLite",
      promise: "All of it.",
      kept: "everything",
    },
    {
      name: "synchronous",
      label: "synchronous",
      short: "synchronous",
      promise: "Some & less.",
      kept: "less",
    },
  ],
  trials: [load, pace, follow, empty],
  verdicts: [
    { text: "Fast", outcome: "met", details: ["runs/s: 65x"] },
    { text: "Small", outcome: "missed", details: ["file: 2x"] },
    { text: "Quiet", outcome: "not measured", details: [] },
  ],
  failures: [{ trial: "micro", peer: "durable", message: "it <broke>" }],
};
