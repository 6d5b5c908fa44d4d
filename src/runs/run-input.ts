import { inputOfRun } from "../events/view/run-input.ts";
import { ThreadView } from "../events/view/thread-view.ts";
import type { WholeInputRequest } from "../protocol/compactor-messages.ts";
import type { FoundRunInput } from "../protocol/messages.ts";
import { eventsOf } from "./compact-journal.ts";
import { messageChunks } from "./made-view.ts";

/** The whole input of a stored run, of which only the messages that were new are stored. */
export function makeRunInput(request: WholeInputRequest): FoundRunInput {
  const { threadId, runId, view, events, input } = request;
  const messages = view.messages.flatMap((json) => JSON.parse(json) as unknown[]);
  const json: unknown = { ...(JSON.parse(view.rest) as object), messages };
  const before = ThreadView.restore(json) ?? new ThreadView();
  const run = { threadId, runId, events: eventsOf([events]), stored: parseInput(input) };
  const { messages: whole, ...rest } = inputOfRun(before, run);
  return { runId, rest: JSON.stringify(rest), messages: messageChunks(whole) };
}

/** Another program may have written anything. */
function parseInput(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return {};
  }
}
