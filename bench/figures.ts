/** Every figure that a trial may report: its label, its unit, and which direction is better. */
export const FIGURES = {
  runsPerSecond: { label: "runs/s", unit: "runs/s", better: "more" },
  eventsPerSecond: { label: "events/s", unit: "events/s", better: "more" },
  firstEventMs: { label: "first event, median", unit: "ms", better: "less" },
  firstEventReopenedMs: { label: "first event, reopened", unit: "ms", better: "less" },
  firstEventColdMs: { label: "first event, never read", unit: "ms", better: "less" },
  firstEventP99Ms: { label: "first event, p99", unit: "ms", better: "less" },
  firstEventMaxMs: { label: "first event, longest", unit: "ms", better: "less" },
  loopDelayP50Ms: { label: "loop delay p50", unit: "ms", better: "less" },
  loopDelayP90Ms: { label: "loop delay p90", unit: "ms", better: "less" },
  loopDelayP99Ms: { label: "loop delay p99", unit: "ms", better: "less" },
  loopDelayP999Ms: { label: "loop delay p99.9", unit: "ms", better: "less" },
  loopDelayMaxMs: { label: "loop delay max", unit: "ms", better: "less" },
  cpuUsPerRun: { label: "processor time a run", unit: "µs", better: "less" },
  mainUsPerRun: { label: "main thread's time a run", unit: "µs", better: "less" },
  connectedKiB: { label: "held a further client of it", unit: "KiB", better: "less" },
  liveRunKiB: { label: "held a live run", unit: "KiB", better: "less" },
  cpuMsPerConnect: { label: "processor time a connect", unit: "ms", better: "less" },
  mainMsPerConnect: { label: "main thread's time a connect", unit: "ms", better: "less" },
  heldByClientKiB: { label: "held a client that does not read", unit: "KiB", better: "less" },
  leftByClientKiB: { label: "held after it has read", unit: "KiB", better: "less" },
  residentRunKiB: { label: "memory of the process a live run", unit: "KiB", better: "less" },
  leftByRunKiB: { label: "left by a run that ended", unit: "KiB", better: "less" },
  answerKiB: { label: "what it is sent", unit: "KiB", better: "less" },
  cpuCores: { label: "processor cores used", unit: "cores", better: "less" },
  bytesPerEvent: { label: "written to disk an event", unit: "bytes", better: "less" },
  rssMiB: { label: "peak RSS", unit: "MiB", better: "less" },
  queueKiB: { label: "waiting to be written", unit: "KiB", better: "less" },
  lagFirstMs: { label: "oldest waiting, first quarter", unit: "ms", better: "less" },
  lagLastMs: { label: "oldest waiting, last quarter", unit: "ms", better: "less" },
  lagGrowthMs: { label: "oldest waiting, growth", unit: "ms", better: "less" },
  commitP99Ms: { label: "commit p99", unit: "ms", better: "less" },
  totalMs: { label: "total", unit: "ms", better: "less" },
  totalColdMs: { label: "total, never read", unit: "ms", better: "less" },
  longestBlockMs: { label: "longest block of the loop, median", unit: "ms", better: "less" },
  worstBlockMs: { label: "longest block of the loop, worst", unit: "ms", better: "less" },
  fileKiB: { label: "file", unit: "KiB", better: "less" },
  catchUpMs: { label: "caught up", unit: "ms", better: "less" },
  lagP50Ms: { label: "lag p50", unit: "ms", better: "less" },
  lagP99Ms: { label: "lag p99", unit: "ms", better: "less" },
  listMs: { label: "first page of a list, median", unit: "ms", better: "less" },
  searchMs: { label: "search for a word of all threads, median", unit: "ms", better: "less" },
  twoWordsMs: { label: "search for two such words, median", unit: "ms", better: "less" },
  rareSearchMs: { label: "search for a word of one thread, median", unit: "ms", better: "less" },
  openMs: { label: "opening, median", unit: "ms", better: "less" },
  recoveryMs: { label: "opening after kill -9, median", unit: "ms", better: "less" },
  claimColdMs: { label: "claim, thread not used before, median", unit: "ms", better: "less" },
  claimColdP99Ms: { label: "claim, thread not used before, p99", unit: "ms", better: "less" },
  finishColdMs: { label: "finish, thread not used before, median", unit: "ms", better: "less" },
  finishColdP99Ms: { label: "finish, thread not used before, p99", unit: "ms", better: "less" },
  claimMs: { label: "claim, median", unit: "ms", better: "less" },
  finishMs: { label: "finish, median", unit: "ms", better: "less" },
  steadyClaimMs: { label: "claim under load, median", unit: "ms", better: "less" },
  steadyClaimP99Ms: { label: "claim under load, p99", unit: "ms", better: "less" },
  steadyFinishMs: { label: "finish under load, median", unit: "ms", better: "less" },
  steadyFinishP99Ms: { label: "finish under load, p99", unit: "ms", better: "less" },
  connectMs: { label: "connect, median", unit: "ms", better: "less" },
  connectP99Ms: { label: "connect, p99", unit: "ms", better: "less" },
  deepListMs: { label: "page in the middle of the list, median", unit: "ms", better: "less" },
  rareWordsMs: { label: "search for two words of 20 threads, median", unit: "ms", better: "less" },
  shareSearchMs: {
    label: "search for a word of 1 thread in 100, median",
    unit: "ms",
    better: "less",
  },
  disjointSearchMs: {
    label: "search for two such words that no thread has both of, median",
    unit: "ms",
    better: "less",
  },
  serverUsPerRun: { label: "server's processor time a run", unit: "µs", better: "less" },
  walBytesPerRun: { label: "WAL a run", unit: "bytes", better: "less" },
  connections: { label: "connections a host", unit: "", better: "less" },
  serverMiBPerHost: { label: "server memory a host", unit: "MiB", better: "less" },
  opsPerSecond: { label: "operations/s", unit: "ops/s", better: "more" },
  latencyP50Us: { label: "median", unit: "µs", better: "less" },
  latencyP99Us: { label: "p99", unit: "µs", better: "less" },
} as const satisfies Record<string, { label: string; unit: string; better: "more" | "less" }>;

export type FigureName = keyof typeof FIGURES;

/** The label, with the unit unless the label contains it. */
export function labelOf(name: FigureName): string {
  const { label, unit } = FIGURES[name];
  const saysIt = label.endsWith("/s") || unit === "cores" || unit === "";
  return saysIt ? label : `${label}, ${unit}`;
}

/** Three significant digits, with a space between thousands. */
export function formatNumber(value: number): string {
  const size = Math.abs(value);
  if (size >= 100) return Math.round(value).toLocaleString("en-US").replaceAll(",", "\u202f");
  return String(Number(value.toPrecision(size < 1 ? 2 : 3)));
}
