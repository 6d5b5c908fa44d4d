import type { BenchResult } from "../results.ts";
import { TYPICAL_THREADS } from "../trial.ts";
import { costOf, figureOf, formatFigure, peersOf, ratioOf } from "./summary.ts";

const THIN_SPACE = "\u202f";

/** The README's table: each peer under the typical load, and what it keeps after a crash. */
export function reportMarkdown(result: BenchResult): string {
  const trial = result.trials.find(({ name }) => name === "throughput");
  if (trial === undefined) throw new Error("the table needs the trial throughput");
  const x = TYPICAL_THREADS;
  const rows = peersOf(result, trial).map(({ name: peer, label, kept }) => {
    const figure = (name: "runsPerSecond" | "loopDelayP99Ms" | "loopDelayMaxMs") =>
      formatFigure(figureOf(trial, { x, peer, figure: name }));
    const cells = [
      label,
      figure("runsPerSecond"),
      formatFigure(ratioOf(trial, x, peer)),
      peer === "no-runner" ? "" : formatFigure(costOf(trial, x, peer)),
      figure("loopDelayP99Ms"),
      figure("loopDelayMaxMs"),
      kept,
    ];
    return `| ${cells.join(" | ").replaceAll(THIN_SPACE, " ")} |`;
  });
  const baseline = result.peers.find(({ name }) => name === trial.baseline)?.label;
  return `${[
    `\`${result.command}\`, ${result.startedAt.slice(0, 10)}: ${result.machine.processor}, Node ${result.versions.node}.`,
    "",
    `| | runs/s | x ${baseline ?? trial.baseline} | processor time beyond no runner, µs a run | event-loop delay p99, ms | max, ms | kept after kill -9 |`,
    "|---|---|---|---|---|---|---|",
    ...rows,
  ].join("\n")}\n`;
}
