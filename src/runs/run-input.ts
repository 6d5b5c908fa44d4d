import { parseEvents } from "../events/json/parse-events.ts";
import { spanReader } from "../events/shared/span-texts.ts";
import { readStoredEvents, readStoredInput } from "../events/shared/stored-values.ts";
import { inputOfRun } from "../events/view/run-input.ts";
import { ThreadView } from "../events/view/thread-view.ts";
import type { WholeInputRequest } from "../protocol/compactor-messages.ts";
import type { FoundRunInput } from "../protocol/messages.ts";
import { messageChunks } from "./made-view.ts";

/** The whole input of a stored run, of which only the messages that were new are stored. */
export function makeRunInput(request: WholeInputRequest): FoundRunInput {
  const { threadId, runId, view, run: stored, chunks } = request;
  const readSpan = spanReader(chunks);
  const messages = view.messages.flatMap((json) => JSON.parse(json) as unknown[]);
  const json: unknown = { ...(JSON.parse(view.rest) as object), messages };
  const before = ThreadView.restore(json) ?? new ThreadView();
  const events = parseEvents(readStoredEvents(stored, readSpan)) ?? [];
  const input = parseInput(readStoredInput(stored, readSpan));
  const run = { threadId, runId, events, stored: input };
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
