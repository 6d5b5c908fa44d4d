import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { EventLike } from "../../../src/events/event.ts";
import { ThreadView } from "../../../src/events/view/thread-view.ts";
import { conversations } from "../../fixtures/sources.ts";
import { LiveClient } from "./live-client.ts";

/** One run as its client asked for it and its agent answered. */
interface Run {
  readonly runId: string;
  readonly input: { readonly messages?: unknown };
  readonly events: readonly EventLike[];
}

interface Case {
  readonly name: string;
  readonly runs: readonly Run[];
}

const casesFile = new URL("../../../../shared/cases/conversations.json", import.meta.url);
const cases = existsSync(casesFile) ? (JSON.parse(readFileSync(casesFile, "utf8")) as Case[]) : [];

/** The events of a run as a runner emits them: RUN_STARTED has the messages of the input. */
function emitted({ runId, input, events }: Run): EventLike[] {
  const ids = { threadId: "t", runId };
  return events.map((event) => {
    if (event.type === "RUN_STARTED") return { ...event, ...ids, input: { ...ids, ...input } };
    return event.type === "RUN_FINISHED" ? { ...event, ...ids } : event;
  });
}

async function expectSameView(runs: readonly Run[]): Promise<void> {
  const client = new LiveClient();
  const view = new ThreadView();
  for (const run of runs) {
    const events = emitted(run);
    await client.run([], events);
    for (const event of events) view.apply(event);
    const { messages, state, pendingInterrupts } = view;
    expect({ messages, state, pendingInterrupts }).toEqual(client.view);
  }
}

describe.each(conversations)("conversations, $name", ({ turns }) => {
  const scenarios = Map.groupBy(turns, ({ scenario }) => scenario);
  test.each([...scenarios])("%s: the view is what a client holds", async (_, runs) => {
    await expectSameView(runs.map((run) => ({ ...run, runId: `r${run.turn}` })));
  });
});

describe.skipIf(cases.length === 0)("cases", () => {
  test.each(cases)("$name: the view is what a client holds", ({ runs }) => expectSameView(runs));
});
