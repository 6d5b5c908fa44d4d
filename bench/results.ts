import type { FigureName } from "./figures.ts";

/** What one process measured at one point of a trial's axis. */
export interface Point {
  /** Whose it is, when the process measured several by itself. */
  readonly peer?: string;
  readonly x: number;
  /** Null: could not be measured here. */
  readonly figures: Partial<Record<FigureName, number | null>>;
  /** Course of a figure over the seconds of the trial. */
  readonly series?: Partial<Record<FigureName, readonly (readonly [x: number, y: number])[]>>;
}

export interface Sample extends Point {
  readonly peer: string;
  /** Samples of one round ran beside each other: ratios are made of these. */
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
  /** `steps` gives each point the same room, as a 0 has no place on a log axis. */
  readonly xScale: "log" | "linear" | "steps";
  readonly yScale: "log" | "linear";
}

export interface TrialResult {
  readonly name: string;
  readonly title: string;
  readonly about: string;
  /** What x is. */
  readonly axis: string;
  /** The figures of the table on the terminal, the most telling first. */
  readonly show: readonly FigureName[];
  /** The peer that the first of `show` is compared with. */
  readonly baseline: string | null;
  readonly plots: readonly PlotSpec[];
  readonly samples: readonly Sample[];
}

export interface PeerInfo {
  readonly name: string;
  readonly label: string;
  /** For narrow columns. */
  readonly short: string;
  /** What is there after a crash. */
  readonly promise: string;
}

export interface Verdict {
  readonly text: string;
  readonly outcome: "met" | "missed" | "not measured";
  /** One line a condition: what was measured against which bound. */
  readonly details: readonly string[];
}

export interface Failure {
  readonly trial: string;
  readonly peer: string;
  readonly message: string;
}

/** All that a report needs: it is made of this alone. */
export interface BenchResult {
  readonly format: 1;
  readonly startedAt: string;
  readonly seconds: number;
  readonly mode: "full" | "quick";
  readonly command: string;
  readonly machine: Readonly<Record<string, string>>;
  /** Part of the processors, 0 to 1, that other processes took while this was measured. */
  readonly takenByOthers: number;
  readonly versions: Readonly<Record<string, string>>;
  readonly peers: readonly PeerInfo[];
  readonly trials: readonly TrialResult[];
  readonly verdicts: readonly Verdict[];
  readonly failures: readonly Failure[];
}
