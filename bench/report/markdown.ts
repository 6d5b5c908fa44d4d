import type { BenchResult } from "../results.ts";
import { TYPICAL_THREADS } from "../trial.ts";
import { figureOf, formatFigure, peersOf, ratioOf } from "./summary.ts";

/** The README's table: each peer under the typical load, and what it keeps after a crash. */
export function reportMarkdown(result: BenchResult): string {
  const trial = result.trials.find(({ name }) => name === "throughput");
  if (trial === undefined) throw new Error("the table needs the trial throughput");
  const x = TYPICAL_THREADS;
  const rows = peersOf(result, trial).map(({ name: peer, label, promise }) => {
    const figure = (name: "runsPerSecond" | "loopDelayP99Ms" | "loopDelayMaxMs") =>
      formatFigure(figureOf(trial, { x, peer, figure: name })).replaceAll("\u202f", " ");
    const ratio = formatFigure(ratioOf(trial, x, peer));
    const cells = [label, figure("runsPerSecond"), ratio, figure("loopDelayP99Ms")];
    return `| ${[...cells, figure("loopDelayMaxMs"), promise].join(" | ")} |`;
  });
  return `${[
    `\`${result.command}\`, ${result.startedAt.slice(0, 10)}: ${result.machine.processor}, Node ${result.versions.node}.`,
    "",
    "| | runs/s | x `synchronous` | event-loop delay p99, ms | max, ms | after a crash |",
    "|---|---|---|---|---|---|",
    ...rows,
  ].join("\n")}\n`;
}
