import type { RunInput } from "./agent.ts";

/** Whether a run is stored. Called once a run, before it begins. If it throws, the run is stored. */
export type StoreRun = (input: RunInput) => boolean;

/**
 * False for the suggestions that CopilotKit's chat asks for: it runs an agent for them with the whole
 * conversation as input, on a thread of its own, and has it call the tool `copilotkitSuggest`.
 * Source: `SuggestionEngine` of `@copilotkit/core` 1.75.
 */
export function isConversation({ forwardedProps }: RunInput): boolean {
  const { toolChoice } = (forwardedProps ?? {}) as { toolChoice?: unknown };
  const { function: chosen } = (toolChoice ?? {}) as { function?: unknown };
  const { name } = (chosen ?? {}) as { name?: unknown };
  return name !== "copilotkitSuggest";
}
