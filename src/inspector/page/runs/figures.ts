import type { RunAnswer } from "../../api.ts";
import { duration, number } from "../format.ts";

/** "–" where the events of the run have no timestamps, "…" until it is known. */
export function durationOf(answer: RunAnswer | undefined): string {
  if (answer === undefined) return "…";
  const { durationMs } = answer.times;
  return durationMs === null ? "–" : duration(durationMs);
}

export function tokensOf(answer: RunAnswer | undefined): string {
  if (answer === undefined) return "…";
  const { tokens } = answer;
  return tokens === null ? "–" : `${number(tokens.input)} + ${number(tokens.output)}`;
}
