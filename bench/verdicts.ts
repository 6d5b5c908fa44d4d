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

function judge(condition: Condition, trials: readonly TrialResult[]): Outcome {
  const { figure, is, bound, against, how = "ratio" } = condition;
  const read = (ref: FigureRef) =>
    valuesOf(trials.find(({ name }) => name === ref.trial)?.samples ?? [], ref);
  const own = read(condition);
  const other: FigureRef | null = against === undefined ? null : { ...condition, ...against };
  const measured =
    other === null
      ? own.size === 0
        ? null
        : spread([...own.values()])
      : compareRounds(own, read(other), how);
  const { label, unit: ownUnit } = FIGURES[figure];
  const isRatio = other !== null && how === "ratio";
  const unit = isRatio ? "x" : ` ${ownUnit}`;
  const what = other === null ? label : `${label}, compared with ${nameOf(other, condition)}`;
  if (measured === null) return { met: null, detail: `${what}: not measured` };
  const met = is === ">=" ? measured.median >= bound : measured.median <= bound;
  const wanted = `${is === ">=" ? "at least" : "at most"} ${formatNumber(bound)}${unit}`;
  return {
    met,
    detail: `${what}: ${formatSpread(measured)}${unit}, wanted ${wanted}: ${met ? "met" : "missed"}`,
  };
}

function nameOf(other: FigureRef, condition: Condition): string {
  if (other.peer !== condition.peer) return labelOfPeer(other.peer);
  return `the same at ${formatNumber(other.x)} instead of ${formatNumber(condition.x)}`;
}

/** A target is met when all its conditions are met. It is missed when one condition is missed. */
export function judgeTarget(target: Target, trials: readonly TrialResult[]): Verdict {
  const outcomes = target.conditions.map((condition) => judge(condition, trials));
  const missed = outcomes.some(({ met }) => met === false);
  const unknown = outcomes.some(({ met }) => met === null);
  return {
    text: target.text,
    outcome: missed ? "missed" : unknown ? "not measured" : "met",
    details: outcomes.map(({ detail }) => detail),
  };
}
