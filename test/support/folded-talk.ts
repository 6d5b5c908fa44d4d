import { viewOf } from "../../src/events/view/thread-view.ts";
import type { StoreAgentRunner } from "../../src/index.ts";
import { collect } from "./open-runner.ts";
import { finished, scriptedAgent, started, text } from "./scripted-agent.ts";

/** A state that is so long that the view of a few runs is kept. */
const NOTES = "notes ".repeat(15_000);

export const noting = () =>
  scriptedAgent(function* ({ input }) {
    yield started(input);
    yield* text(`answer-${input.runId}`, `answer to ${input.runId}. `);
    yield { type: "STATE_SNAPSHOT", snapshot: { notes: NOTES, last: input.runId } };
    yield finished(input);
  });

/** What a client shows that replays the last run, after a view of the runs before it. */
export async function shownBy(runner: StoreAgentRunner): Promise<string> {
  const headers = { "x-replay-runs": "1" };
  const { messages } = viewOf(await collect(runner.connect({ threadId: "t", headers })));
  const answers = messages.filter(({ role }) => role === "assistant");
  return answers.map(({ content }) => content).join("");
}
