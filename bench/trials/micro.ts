import type { Trial } from "../trial.ts";

/** The number of steps of the micro trial, by which its time per step is multiplied. */
export const MICRO_STEPS = 7;

export const MICRO_TRIALS: readonly Trial[] = [
  {
    name: "micro",
    title: "Inner steps",
    about: "One step at a time, with tinybench.",
    workload: "micro",
    peers: ["durable"],
    baseline: null,
    axis: "",
    points: [0],
    separate: true,
    settings: {},
    show: ["opsPerSecond", "latencyP50Us", "latencyP99Us"],
    plots: [],
    full: { seconds: 0.5, warmUpSeconds: 0.2, rounds: 1 },
    quick: null,
  },
];
