import { FIGURES, type FigureName, formatNumber } from "./figures.ts";
import { PEERS } from "./peers/peers.ts";
import type { Sample, TrialResult, Verdict } from "./results.ts";
import { compareRounds, type Spread, spread } from "./statistics.ts";
import type { Condition, FigureRef, Target } from "./targets.ts";

/** A figure of one peer at one point, by round. */
export function valuesOf(
  samples: readonly Sample[],
  ref: { readonly x: number; readonly peer: string; readonly figure: FigureName },
): ReadonlyMap<number, number> {
  const values = new Map<number, number>();
  for (const { peer, x, round, figures } of samples) {
    const value = figures[ref.figure];
    if (peer === ref.peer && x === ref.x && typeof value === "number") values.set(round, value);
  }
  return values;
}

/** "51 (48 to 55)", or "51" when there is no spread. */
export function formatSpread({ median, min, max }: Spread): string {
  if (min === max) return formatNumber(median);
  return `${formatNumber(median)} (${formatNumber(min)} to ${formatNumber(max)})`;
}

interface Outcome {
  readonly met: boolean | null;
  readonly detail: string;
}

function labelOfPeer(name: string): string {
  return PEERS.find((peer) => peer.name === name)?.label ?? name;
}

function judge(condition: Condition, trials: Trials, earlier: Trials | null): Outcome {
  const { figure, is, bound, against, how = "ratio" } = condition;
  const own = read(trials, condition);
  const { label, unit: ownUnit } = FIGURES[figure];
  const unit = against !== undefined && how === "ratio" ? "x" : ` ${ownUnit}`;
  const measured =
    against === undefined
      ? spreadOf(own)
      : against === "earlier"
        ? ratioToEarlier(own, earlier === null ? new Map() : read(earlier, condition))
        : compareRounds(own, read(trials, { ...condition, ...against }), how);
  const what =
    against === undefined ? label : `${label}, compared with ${nameOf(against, condition)}`;
  if (measured === null) return { met: null, detail: `${what}: not measured` };
  const met = is === ">=" ? measured.median >= bound : measured.median <= bound;
  const wanted = `${is === ">=" ? "at least" : "at most"} ${formatNumber(bound)}${unit}`;
  return {
    met,
    detail: `${what}: ${formatSpread(measured)}${unit}, wanted ${wanted}: ${met ? "met" : "missed"}`,
  };
}

type Trials = readonly TrialResult[];

function read(trials: Trials, ref: FigureRef): ReadonlyMap<number, number> {
  return valuesOf(trials.find(({ name }) => name === ref.trial)?.samples ?? [], ref);
}

function spreadOf(values: ReadonlyMap<number, number>): Spread | null {
  return values.size === 0 ? null : spread([...values.values()]);
}

/** To the median of the earlier rounds: none of them is the neighbour of a round of ours. */
function ratioToEarlier(
  own: ReadonlyMap<number, number>,
  earlier: ReadonlyMap<number, number>,
): Spread | null {
  const reference = spreadOf(earlier)?.median;
  if (reference === undefined || own.size === 0) return null;
  return spread([...own.values()].map((value) => value / reference));
}

function nameOf(against: NonNullable<Condition["against"]>, condition: Condition): string {
  if (against === "earlier") return "an earlier result";
  const { peer = condition.peer, x = condition.x } = against;
  if (peer !== condition.peer) return labelOfPeer(peer);
  return `the same at ${formatNumber(x)} instead of ${formatNumber(condition.x)}`;
}

/**
 * A target is met when all its conditions are met. It is missed when one condition is missed. Without an
 * earlier result, the conditions that need one are not measured.
 */
export function judgeTarget(
  target: Target,
  trials: Trials,
  earlier: Trials | null = null,
): Verdict {
  const outcomes = target.conditions.map((condition) => judge(condition, trials, earlier));
  const missed = outcomes.some(({ met }) => met === false);
  const unknown = outcomes.some(({ met }) => met === null);
  return {
    text: target.text,
    outcome: missed ? "missed" : unknown ? "not measured" : "met",
    details: outcomes.map(({ detail }) => detail),
  };
}
