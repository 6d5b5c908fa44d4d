import type { RunInput } from "./agent.ts";

/**
 * Returns whether a run is stored. Called once per run, before the run begins. If it throws or returns
 * anything but a boolean, the run is stored.
 */
export type StoreRun = (input: RunInput) => boolean;

/**
 * False for a run that makes the suggestions of CopilotKit's chat. The chat runs an agent for them on a
 * thread of their own, with the whole conversation as input, and has it call the tool
 * `copilotkitSuggest`. Source: `SuggestionEngine` of `@copilotkit/core` 1.75.
 */
export function isConversation({ forwardedProps }: RunInput): boolean {
  const { toolChoice } = (forwardedProps ?? {}) as { toolChoice?: unknown };
  const { function: chosen } = (toolChoice ?? {}) as { function?: unknown };
  const { name } = (chosen ?? {}) as { name?: unknown };
  return name !== "copilotkitSuggest";
}
