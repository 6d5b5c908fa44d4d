import type { EventLike } from "./event.ts";

/** Tokens of one model, as an agent tells them. What it does not tell is null. */
export interface ModelUsage {
  readonly provider: string | null;
  readonly model: string | null;
  readonly inputTokens: number | null;
  readonly outputTokens: number | null;
  /** Of the input tokens, those that came from a cache. */
  readonly cachedInputTokens: number | null;
  /** Of the input tokens, those that were written to a cache. */
  readonly cacheWriteInputTokens: number | null;
  /** Of the output tokens, those of reasoning. */
  readonly reasoningTokens: number | null;
}

type Fields = Readonly<Record<string, unknown>>;

const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const isCount = (value: unknown): value is number =>
  Number.isSafeInteger(value) && Number(value) >= 0;

/** Names of the two counts: those of AG-UI, and those of agents that pass on what a model's API says. */
const INPUT_NAMES = ["inputTokens", "input_tokens", "promptTokens", "prompt_tokens"];
const OUTPUT_NAMES = ["outputTokens", "output_tokens", "completionTokens", "completion_tokens"];

/**
 * What the last event of a run tells of tokens. AG-UI has them in `usage` of RUN_FINISHED and RUN_ERROR: an array
 * with an object for each model. Older agents have one object in `result.usage`.
 */
export function usageOf({ result, usage }: EventLike): readonly ModelUsage[] {
  const given = usage ?? (isFields(result) ? result.usage : undefined);
  const entries = (Array.isArray(given) ? (given as unknown[]) : [given]).filter(isFields);
  return entries.map((entry) => {
    const countOf = (...names: readonly string[]) =>
      names.map((name) => entry[name]).find(isCount) ?? null;
    const textOf = (name: string) => {
      const text = entry[name];
      return typeof text === "string" && text !== "" ? text : null;
    };
    return {
      provider: textOf("provider"),
      model: textOf("model"),
      inputTokens: countOf(...INPUT_NAMES),
      outputTokens: countOf(...OUTPUT_NAMES),
      cachedInputTokens: countOf("cachedInputTokens"),
      cacheWriteInputTokens: countOf("cacheWriteInputTokens"),
      reasoningTokens: countOf("reasoningTokens"),
    };
  });
}
