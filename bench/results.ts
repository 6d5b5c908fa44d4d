import type { FigureName } from "./figures.ts";

/** The figures that one process measured at one point of a trial's axis. */
export interface Point {
  /** The measured peer, when one process measures several peers. */
  readonly peer?: string;
  readonly x: number;
  /** Null if it could not be measured on this machine. */
  readonly figures: Partial<Record<FigureName, number | null>>;
  /** The course of a figure over the seconds of the trial. */
  readonly series?: Partial<Record<FigureName, readonly (readonly [x: number, y: number])[]>>;
}

export interface Sample extends Point {
  readonly peer: string;
  /** Samples of the same round were measured one after another. Ratios are made from these. */
  readonly round: number;
}

export interface PlotSpec {
  readonly title: string;
  /**
   * `line`: a figure over the trial's axis. `percentiles`: several figures, one after another, at
   * the point `at`. `course`: a figure's series over time.
   */
  readonly kind: "line" | "percentiles" | "course";
  readonly figures: readonly FigureName[];
  readonly at?: number;
  /**
   * `steps` gives each point the same space, for axes with a 0, which a logarithmic axis cannot show.
   */
  readonly xScale: "log" | "linear" | "steps";
  readonly yScale: "log" | "linear";
}

export interface TrialResult {
  readonly name: string;
  readonly title: string;
  readonly about: string;
  /** The label of x. */
  readonly axis: string;
  /** The figures of the table on the terminal, the most important first. */
  readonly show: readonly FigureName[];
  /** The peer that the first of `show` is compared with. */
  readonly baseline: string | null;
  readonly plots: readonly PlotSpec[];
  readonly samples: readonly Sample[];
  /** Why the trial could not be measured on this machine. */
  readonly skipped?: string | undefined;
}

export interface PeerInfo {
  readonly name: string;
  readonly label: string;
  /** A short name for narrow columns. */
  readonly short: string;
  /** What the peer keeps after a crash. */
  readonly promise: string;
  /** What of that the README's table says: what is kept after `kill -9`, in a few words. */
  readonly kept: string;
}

export interface Verdict {
  readonly text: string;
  readonly outcome: "met" | "missed" | "not measured";
  /** A line for each condition: the measured value and its bound. */
  readonly details: readonly string[];
}

export interface Failure {
  readonly trial: string;
  readonly peer: string;
  readonly message: string;
}

/** Grows when trials or figures get another meaning: results of different formats are not comparable. */
export const RESULT_FORMAT = 2;

/** Everything that a report needs. */
export interface BenchResult {
  readonly format: typeof RESULT_FORMAT;
  readonly startedAt: string;
  readonly seconds: number;
  readonly mode: "full" | "quick";
  readonly command: string;
  readonly machine: Readonly<Record<string, string>>;
  /** The share of the processors, from 0 to 1, that other processes took during the measurement. */
  readonly takenByOthers: number;
  readonly versions: Readonly<Record<string, string>>;
  readonly peers: readonly PeerInfo[];
  readonly trials: readonly TrialResult[];
  readonly verdicts: readonly Verdict[];
  readonly failures: readonly Failure[];
}
