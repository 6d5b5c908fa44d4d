import type { FigureName } from "./figures.ts";
import type { PlotSpec } from "./results.ts";
import type { Trial } from "./trial.ts";

const LOOP_DELAY = [
  "loopDelayP50Ms",
  "loopDelayP90Ms",
  "loopDelayP99Ms",
  "loopDelayP999Ms",
  "loopDelayMaxMs",
] as const;

type Scale = PlotSpec["xScale"];

/** A figure over the trial's axis. */
function line(
  title: string,
  figure: FigureName,
  xScale: Scale,
  yScale: PlotSpec["yScale"] = "log",
) {
  return { title, kind: "line", figures: [figure], xScale, yScale } as const;
}

function loopDelayAt(at: number) {
  const title = `Event-loop delay, ${at} threads`;
  return {
    title,
    kind: "percentiles",
    figures: LOOP_DELAY,
    at,
    xScale: "steps",
    yScale: "log",
  } as const;
}

/** The point at which most targets are measured. */
export const TYPICAL_THREADS = 200;

export const TRIALS: readonly Trial[] = [
  {
    name: "throughput",
    title: "Throughput and event-loop delay",
    about:
      "Each thread runs one short answer (24 events) after another. The agents emit past the client's pipeline: what is measured is the runner. A run counts when its stream has completed, which for the durable peers means stored. With one thread this is the latency of a run.",
    workload: "load",
    peers: ["synchronous", "in-memory", "durable", "durable-normal", "limit"],
    baseline: "synchronous",
    axis: "threads",
    points: [1, 50, TYPICAL_THREADS, 1000],
    separate: true,
    pointsFor: { "durable-normal": [1, TYPICAL_THREADS], limit: [TYPICAL_THREADS] },
    settings: { eventsPerRun: 24, agents: "direct" },
    show: [
      "runsPerSecond",
      "loopDelayP99Ms",
      "loopDelayMaxMs",
      "firstEventMs",
      "cpuMsPerRun",
      "bytesPerEvent",
      "rssMiB",
    ],
    plots: [
      line("Throughput over threads", "runsPerSecond", "log"),
      loopDelayAt(TYPICAL_THREADS),
      line("First event of a run, median", "firstEventMs", "log"),
    ],
    full: { seconds: 2, warmUpSeconds: 0.7, rounds: 1, roundsAt: { 1: 2, [TYPICAL_THREADS]: 4 } },
    quick: {
      seconds: 1,
      warmUpSeconds: 0.4,
      rounds: 1,
      points: [1, TYPICAL_THREADS],
      peers: ["synchronous", "in-memory", "durable", "limit"],
    },
  },
  {
    name: "client-pipeline",
    title: "The same through the client's pipeline",
    about:
      "As above, but the agents are what users have: subclasses of AbstractAgent, whose events runAgent verifies and applies. That costs more than any runner, and it is the same for all.",
    workload: "load",
    peers: ["in-memory", "durable"],
    baseline: "in-memory",
    axis: "threads",
    points: [TYPICAL_THREADS],
    separate: true,
    settings: { eventsPerRun: 24, agents: "client" },
    show: ["runsPerSecond", "loopDelayP99Ms", "loopDelayMaxMs", "firstEventMs", "cpuMsPerRun"],
    plots: [loopDelayAt(TYPICAL_THREADS)],
    full: { seconds: 1.6, warmUpSeconds: 1, rounds: 5 },
    quick: { seconds: 1.2, warmUpSeconds: 1, rounds: 1 },
  },
  {
    name: "long-runs",
    title: "Longer answers",
    about: "204 events a run, past the client's pipeline.",
    workload: "load",
    peers: ["synchronous", "in-memory", "durable", "limit"],
    baseline: "synchronous",
    axis: "threads",
    points: [TYPICAL_THREADS],
    separate: true,
    settings: { eventsPerRun: 204, agents: "direct" },
    show: ["runsPerSecond", "eventsPerSecond", "loopDelayP99Ms", "cpuMsPerRun", "bytesPerEvent"],
    plots: [],
    full: { seconds: 1.5, warmUpSeconds: 0.7, rounds: 1 },
    quick: null,
  },
  {
    name: "long-runs-client",
    title: "Longer answers through the client's pipeline",
    about:
      "204 events a run, from subclasses of AbstractAgent. Fewer threads than elsewhere: the pipeline takes so long for 200 such answers that a trial would see each thread once.",
    workload: "load",
    peers: ["in-memory", "durable"],
    baseline: "in-memory",
    axis: "threads",
    points: [50],
    separate: true,
    settings: { eventsPerRun: 204, agents: "client" },
    show: ["runsPerSecond", "eventsPerSecond", "loopDelayP99Ms", "cpuMsPerRun"],
    plots: [],
    full: { seconds: 2, warmUpSeconds: 1, rounds: 1 },
    quick: null,
  },
  {
    name: "model-pace",
    title: "Many conversations at the pace of a model",
    about:
      "1000 threads, each with 50 events a second, runs of 204 events: 50 000 events a second. Nobody is in a hurry here: what counts is that nothing piles up and that the event loop stays free.",
    workload: "model-pace",
    peers: ["no-runner", "durable"],
    baseline: null,
    axis: "threads",
    points: [1000],
    separate: true,
    settings: { eventsPerRun: 204, eventsPerSecond: 50 },
    show: [
      "eventsPerSecond",
      "cpuCores",
      "loopDelayP99Ms",
      "loopDelayMaxMs",
      "lagFirstMs",
      "lagLastMs",
      "lagGrowthMs",
      "commitP99Ms",
      "rssMiB",
    ],
    plots: [
      {
        title: "Waiting to be written",
        kind: "course",
        figures: ["queueKiB"],
        xScale: "linear",
        yScale: "linear",
      },
      loopDelayAt(1000),
    ],
    full: { seconds: 20, warmUpSeconds: 2, rounds: 1 },
    quick: { seconds: 1.6, warmUpSeconds: 0.6, rounds: 1 },
  },
  {
    name: "start",
    title: "Starting a run on a long thread",
    about:
      "Time from run() to the run's first event, on an idle runner, over the runs that the thread has. The synchronous peer's query grows with the square of them (about 17 s for 10 000), so it ends at 2000.",
    pointsFor: { synchronous: [0, 100, 1000, 2000] },
    workload: "start",
    peers: ["synchronous", "durable"],
    baseline: "synchronous",
    axis: "runs of history",
    points: [0, 100, 1000, 2000, 10_000],
    separate: false,
    settings: { eventsPerRun: 24 },
    show: ["firstEventMs", "firstEventP99Ms"],
    plots: [line("First event over history length, median", "firstEventMs", "steps")],
    full: { seconds: 2, warmUpSeconds: 0, rounds: 2 },
    quick: { seconds: 0.7, warmUpSeconds: 0, rounds: 1, points: [0, 10_000], peers: ["durable"] },
  },
  {
    name: "connect",
    title: "Connecting to a long thread",
    about:
      "What a client waits for (first event, all events) and what everyone else on the server waits for (the longest block of the event loop), over the runs that the thread has; five stored events a run. The synchronous peer ends at 2000.",
    pointsFor: { synchronous: [0, 100, 1000, 2000] },
    workload: "connect",
    peers: ["synchronous", "durable"],
    baseline: "synchronous",
    axis: "runs of history",
    points: [0, 100, 1000, 2000, 10_000],
    separate: false,
    settings: { eventsPerRun: 24 },
    show: ["totalMs", "firstEventMs", "longestBlockMs", "worstBlockMs"],
    plots: [
      line("All events, median", "totalMs", "steps"),
      line("First event, median", "firstEventMs", "steps"),
      line("Longest block of the loop, median", "longestBlockMs", "steps"),
    ],
    full: { seconds: 2, warmUpSeconds: 0, rounds: 2 },
    quick: { seconds: 0.5, warmUpSeconds: 0, rounds: 1, points: [0, 2000] },
  },
  {
    name: "storage",
    title: "Storage of one conversation",
    about:
      "One thread; as CopilotKit's client does, each turn sends all messages so far. Bytes written count what the process handed to the disk, journals and checkpoints included.",
    workload: "storage",
    peers: ["synchronous", "durable"],
    baseline: "synchronous",
    axis: "turns",
    points: [10, 25, 50, 75, 100, 125, 150, 175, 200],
    separate: false,
    settings: { eventsPerRun: 24 },
    show: ["fileKiB", "bytesPerEvent"],
    plots: [
      line("Size of the file over turns", "fileKiB", "linear", "linear"),
      line("Bytes written to disk an event", "bytesPerEvent", "linear"),
    ],
    full: { seconds: 3, warmUpSeconds: 0, rounds: 1 },
    quick: { seconds: 2, warmUpSeconds: 0, rounds: 1, points: [100, 200] },
  },
  {
    name: "reconnect",
    title: "Reconnecting in the middle of a run",
    about:
      "A client comes back to a run in flight, over the events that the run has emitted so far.",
    workload: "reconnect",
    peers: ["synchronous", "in-memory", "durable"],
    baseline: "in-memory",
    axis: "events so far",
    points: [100, 1000, 10_000],
    separate: false,
    settings: {},
    show: ["catchUpMs", "firstEventMs"],
    plots: [line("Caught up, median", "catchUpMs", "log")],
    full: { seconds: 1.5, warmUpSeconds: 0, rounds: 1 },
    quick: null,
  },
  {
    name: "follow",
    title: "Following a run of another process",
    about:
      "One process runs, another one on the same file is connected: how much later a delta arrives there than it was emitted.",
    workload: "follow",
    peers: ["durable"],
    baseline: null,
    axis: "events/s",
    points: [50],
    separate: true,
    settings: {},
    show: ["lagP50Ms", "lagP99Ms"],
    plots: [],
    full: { seconds: 4, warmUpSeconds: 0.5, rounds: 1 },
    quick: null,
  },
  {
    name: "threads",
    title: "Lists and searches of threads",
    about:
      "A file of version 1 with threads of 5 runs each is migrated and indexed, which is not measured and takes minutes. Then its first page is listed and searched.",
    workload: "threads",
    peers: ["durable"],
    baseline: null,
    axis: "threads",
    points: [100, 100_000],
    separate: true,
    settings: { eventsPerRun: 24 },
    show: ["listMs", "searchMs", "rareSearchMs", "loopDelayMaxMs"],
    plots: [],
    full: { seconds: 4, warmUpSeconds: 0, rounds: 1 },
    quick: null,
  },
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

/** The number of steps of the micro trial, by which its time per step is multiplied. */
export const MICRO_STEPS = 7;
