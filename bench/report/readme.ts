import { type FigureName, labelOf } from "../figures.ts";
import type { BenchResult, PeerInfo, TrialResult } from "../results.ts";
import { TYPICAL_THREADS } from "../trial.ts";
import { noiseOf } from "./noise.ts";
import { costOf, figureOf, formatFigure, peersOf, ratioOf } from "./summary.ts";

const BEGIN = "<!-- The following is made by `npm run bench -- --readme FILE`. -->";
const END = "<!-- The end of what the benchmark has made. -->";

const THIN_SPACE = "\u202f";

/** A point of a trial that the README shows. */
interface Shown {
  readonly trial: string;
  readonly x: number;
  readonly corner: string;
  readonly figures: readonly FigureName[];
  readonly kept: boolean;
}

const SHOWN: readonly Shown[] = [
  {
    ...{ trial: "throughput", x: TYPICAL_THREADS, corner: `${TYPICAL_THREADS} busy threads` },
    figures: ["runsPerSecond", "cpuUsPerRun", "loopDelayP99Ms", "loopDelayMaxMs"],
    kept: true,
  },
  {
    ...{ trial: "http", x: 50, corner: "50 clients over HTTP" },
    figures: ["runsPerSecond", "cpuUsPerRun", "firstEventMs", "firstEventP99Ms", "loopDelayP99Ms"],
    kept: false,
  },
];

/** Whether a Markdown text has a place for figures. */
export function hasPlace(text: string): boolean {
  const from = text.indexOf(BEGIN);
  return from >= 0 && text.indexOf(END) > from;
}

/**
 * Replaces what an earlier run has put into a Markdown text that has a place for it: tables, and the targets that
 * were not met.
 */
export function fillReadme(text: string, result: BenchResult): string {
  const [from, to] = [text.indexOf(BEGIN), text.indexOf(END)];
  const parts = [ranOn(result), ...tablesOf(result), ...targetsOf(result)];
  const made = parts.join("\n\n").replaceAll(THIN_SPACE, " ");
  return `${text.slice(0, from)}${BEGIN}\n\n${made}\n\n${text.slice(to)}`;
}

function ranOn(result: BenchResult): string {
  const { startedAt, machine, versions, mode } = result;
  return `${mode === "full" ? "Full" : "Quick"} run of ${startedAt.slice(0, 10)}: ${machine.processor}, Node ${versions.node}. ${noiseOf(result).text}`;
}

function tablesOf(result: BenchResult): readonly string[] {
  return SHOWN.flatMap((shown) => {
    const trial = result.trials.find(({ name }) => name === shown.trial);
    const peers = trial === undefined ? [] : peersAt(result, trial, shown.x);
    if (trial === undefined || peers.length === 0) return [];
    const baseline = result.peers.find(({ name }) => name === trial.baseline)?.label ?? "";
    const columns = columnsOf(trial, shown, baseline);
    const head = [shown.corner, ...columns.map(({ head }) => head)];
    const rows = peers.map((peer) => [peer.label, ...columns.map(({ cell }) => cell(peer))]);
    return [tableLines(head, rows)];
  });
}

function targetsOf({ verdicts }: BenchResult): readonly string[] {
  const met = verdicts.filter(({ outcome }) => outcome === "met").length;
  const missed = verdicts.filter(({ outcome }) => outcome === "missed");
  const others = verdicts.length - met - missed.length;
  const counts = `${met} of ${verdicts.length} targets met, ${missed.length} missed, ${others} not measured in this run.`;
  if (missed.length === 0) return [counts];
  return [`${counts} Missed:`, missed.map(({ text }) => `- ${text}`).join("\n")];
}

interface Column {
  readonly head: string;
  readonly cell: (peer: PeerInfo) => string;
}

/** The figures: beside the first its ratio, beside the processor time what a runner costs. */
function columnsOf(
  trial: TrialResult,
  { x, figures, kept }: Shown,
  baseline: string,
): readonly Column[] {
  const columns = figures.flatMap((figure, at): readonly Column[] => {
    const own: Column = {
      head: labelOf(figure),
      cell: ({ name: peer }) => formatFigure(figureOf(trial, { x, peer, figure })),
    };
    const ratio: Column = {
      head: `x ${baseline}`,
      cell: ({ name }) => formatFigure(ratioOf(trial, x, name)),
    };
    const cost: Column = {
      head: "beyond no runner, µs",
      cell: ({ name }) => formatFigure(costOf(trial, x, name)),
    };
    return [own, ...(at === 0 ? [ratio] : []), ...(figure === "cpuUsPerRun" ? [cost] : [])];
  });
  return kept ? [...columns, { head: "kept after kill -9", cell: (peer) => peer.kept }] : columns;
}

function peersAt(result: BenchResult, trial: TrialResult, x: number): readonly PeerInfo[] {
  const measured = new Set(
    trial.samples.filter((sample) => sample.x === x).map(({ peer }) => peer),
  );
  return peersOf(result, trial).filter(({ name }) => measured.has(name));
}

function tableLines(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(head), `|${"---|".repeat(head.length)}`, ...rows.map(line)].join("\n");
}
