import type { BenchResult, TrialResult } from "../results.ts";
import { compareResults } from "./compare.ts";
import { noiseOf } from "./noise.ts";
import { isTextColumn, type Table, tableOf } from "./summary.ts";

/** Characters of a heading before it is broken into another line. */
const HEAD_WIDTH = 12;
/** Of a whole table. */
const MAX_WIDTH = 120;
const INDENT = "  ";
const GAP = "  ";

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

/** The first columns, which say what a row is about, and as many others as fit beside them; then the rest. */
function blocksOf(widths: readonly number[], keys: number): readonly (readonly number[])[] {
  const first = widths.slice(0, keys).map((_, at) => at);
  const used = first.reduce((sum, at) => sum + (widths[at] ?? 0) + GAP.length, INDENT.length);
  const blocks: number[][] = [];
  let left = 0;
  for (let at = keys; at < widths.length; at++) {
    const width = (widths[at] ?? 0) + GAP.length;
    if (blocks.length === 0 || width > left) {
      blocks.push([...first]);
      left = MAX_WIDTH + GAP.length - used;
    }
    blocks.at(-1)?.push(at);
    left -= width;
  }
  return blocks;
}

/** A table for a terminal. What is too wide for it is below, in a table of its own. */
export function alignTable({ head, rows }: Table, keys: number): string {
  const heads = head.map(wrapHead);
  const widths = head.map((_, at) =>
    Math.max(...[...(heads[at] ?? []), ...rows.map((row) => row[at] ?? "")].map(lengthOf)),
  );
  const isText = head.map((_, at) => isTextColumn(rows, at));
  const align = (cell: string, at: number) => {
    const width = widths[at] ?? 0;
    return isText[at] === true ? cell.padEnd(width) : cell.padStart(width);
  };
  const blocks = blocksOf(widths, keys).map((columns) => {
    const height = Math.max(...columns.map((at) => heads[at]?.length ?? 0));
    const headLines = Array.from({ length: height }, (_, line) =>
      heads.map((lines) => lines[line - height + lines.length] ?? ""),
    );
    return [...headLines, ...rows]
      .map((line) => columns.map((at) => align(line[at] ?? "", at)).join(GAP))
      .map((line) => `${INDENT}${line.trimEnd()}`)
      .join("\n");
  });
  return blocks.join("\n\n");
}

const lengthOf = ({ length }: string) => length;

export function notMeasured({ skipped }: TrialResult): string {
  return skipped === undefined ? "not measured" : `skipped: ${skipped}`;
}

/** The columns of a trial's table before its figures. */
const keysOf = ({ axis }: TrialResult) => (axis === "" ? 1 : 2);

/** Each figure beside that of an earlier result. */
function comparisonText(result: BenchResult, earlier: BenchResult): readonly string[] {
  const tables = compareResults(result, earlier).flatMap(({ trial, table }) => [
    `${trial.title} (--only ${trial.name})`,
    alignTable(table, 3),
    "",
  ]);
  return [
    `Compared with the result of ${earlier.startedAt}`,
    "",
    ...tables,
    noiseOf(earlier).text,
    "",
  ];
}

/**
 * The whole result for a terminal: a table for each trial, beside an earlier result if there is one, then
 * target by target.
 */
export function reportText(result: BenchResult, earlier: BenchResult | null = null): string {
  const described = (facts: Readonly<Record<string, string>>) =>
    Object.entries(facts).map(([name, value]) => `  ${name}: ${value}`);
  const trials = result.trials.flatMap((trial) => {
    const table =
      trial.samples.length === 0
        ? `  ${notMeasured(trial)}`
        : alignTable(tableOf(result, trial, { names: "short" }), keysOf(trial));
    return [`${trial.title} (--only ${trial.name})`, table, ""];
  });
  const promises = result.peers.map(
    ({ short, label, promise }) => `  ${short}: ${label}. ${promise}`,
  );
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
    ...(earlier === null ? [] : comparisonText(result, earlier)),
    "Who is measured, and what each keeps after a crash",
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
