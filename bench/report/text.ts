import type { BenchResult, TrialResult } from "../results.ts";
import { noiseOf } from "./noise.ts";
import { isTextColumn, type Table, tableOf } from "./summary.ts";

/** Characters of a heading before it is broken into another line. */
const HEAD_WIDTH = 18;

function wrapHead(text: string): readonly string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= HEAD_WIDTH) {
      lines[lines.length - 1] = `${last} ${word}`;
    } else {
      lines.push(word);
    }
  }
  return lines;
}

function alignTable({ head, rows }: Table): string {
  const heads = head.map(wrapHead);
  const height = Math.max(...heads.map((lines) => lines.length));
  const headLines = Array.from({ length: height }, (_, line) =>
    heads.map((lines) => lines[line - height + lines.length] ?? ""),
  );
  const lines = [...headLines, ...rows];
  const widths = head.map((_, at) => Math.max(...lines.map((line) => (line[at] ?? "").length)));
  const isText = head.map((_, at) => isTextColumn(rows, at));
  const align = (cell: string, at: number) => {
    const width = widths[at] ?? 0;
    return isText[at] === true ? cell.padEnd(width) : cell.padStart(width);
  };
  return lines.map((line) => `  ${line.map(align).join("  ").trimEnd()}`).join("\n");
}

export function notMeasured({ skipped }: TrialResult): string {
  return skipped === undefined ? "not measured" : `skipped: ${skipped}`;
}

/** The whole result for a terminal: a table for each trial, then target by target. */
export function reportText(result: BenchResult): string {
  const described = (facts: Readonly<Record<string, string>>) =>
    Object.entries(facts).map(([name, value]) => `  ${name}: ${value}`);
  const trials = result.trials.flatMap((trial) => {
    const table =
      trial.samples.length === 0 ? `  ${notMeasured(trial)}` : alignTable(tableOf(result, trial));
    return [`${trial.title} (--only ${trial.name})`, table, ""];
  });
  const promises = result.peers.map(({ label, promise }) => `  ${label}: ${promise}`);
  const targets = result.verdicts.flatMap(({ text, outcome, details }) => [
    `  ${outcome.toUpperCase().padEnd(12)}  ${text}`,
    ...details.map((detail) => `${" ".repeat(16)}${detail}`),
  ]);
  const met = result.verdicts.filter(({ outcome }) => outcome === "met").length;
  const failures = result.failures.map(
    ({ trial, peer, message }) => `  ${trial}, ${peer}: ${message}`,
  );
  return [
    ...trials,
    "Figures are medians of the rounds, in brackets the lowest and the highest.",
    "",
    "After a crash",
    ...promises,
    "",
    "Machine",
    ...described(result.machine),
    "",
    `Targets: ${met} of ${result.verdicts.length} met (${result.mode}, ${Math.round(result.seconds)} s)`,
    ...targets,
    "",
    noiseOf(result).text,
    ...(failures.length > 0 ? ["", "Failed", ...failures] : []),
  ].join("\n");
}
