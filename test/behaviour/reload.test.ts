import "../support/leak-guard.ts";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import type { EventLike, RunInput, SqliteAgentRunner } from "../../src/index.ts";
import { parseWithSchemas, reduceWithClients, verifyWithClients } from "../events/clients.ts";
import { storedText } from "../support/database-file.ts";
import { collect, openRunner, replayOf, watch } from "../support/open-runner.ts";
import { scriptedAgent } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";
import { type ReloadCase, reloadCases } from "./reload-cases.ts";

/*
 * Cases beside those that are made here, where a file of those is found: see reload-cases.ts for their
 * form.
 */
const given = fileURLToPath(new URL("../../../shared/cases/conversations.json", import.meta.url));
const cases: readonly ReloadCase[] = [
  ...reloadCases,
  ...(existsSync(given) ? (JSON.parse(readFileSync(given, "utf8")) as ReloadCase[]) : []),
];

const threadId = "t";

interface Played {
  readonly live: readonly EventLike[];
  /** What a second tab was given, which connected in the middle of the last run. */
  readonly secondTab: readonly EventLike[];
}

function inputOf(run: ReloadCase["runs"][number]): RunInput {
  return {
    tools: [],
    context: [],
    ...run.input,
    threadId,
    runId: run.runId,
  } as unknown as RunInput;
}

function eventsOf({ runId, events }: ReloadCase["runs"][number]): EventLike[] {
  return events.map((event) =>
    event.type === "RUN_STARTED" || event.type === "RUN_FINISHED"
      ? { ...event, threadId, runId }
      : event,
  );
}

/** Plays the case; of each run, what its own client was given. */
async function play(runner: SqliteAgentRunner, { runs }: ReloadCase): Promise<Played> {
  let live: readonly EventLike[] = [];
  for (const run of runs.slice(0, -1)) {
    const agent = scriptedAgent(() => eventsOf(run));
    live = await collect(runner.run({ threadId, agent, input: inputOf(run) }));
  }
  const last = runs.at(-1);
  if (last === undefined) return { live, secondTab: [] };
  const joined = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  const events = eventsOf(last);
  const agent = scriptedAgent(async function* () {
    yield* events.slice(0, 2);
    joined.resolve();
    await gate.promise;
    yield* events.slice(2);
  });
  const running = watch(runner.run({ threadId, agent, input: inputOf(last) }));
  await joined.promise;
  const tab = watch(runner.connect({ threadId }));
  let startsToCome = runs.length;
  await tab.until((event) => isStart(event) && --startsToCome === 0);
  gate.resolve();
  live = await running.done;
  return { live, secondTab: await tab.done };
}

const isStart = ({ type }: EventLike) => type === "RUN_STARTED";

async function viewOf(
  events: readonly EventLike[],
  before?: { messages: unknown; state: unknown },
) {
  const [view] = await reduceWithClients(events, before);
  return view as { messages: { id: string }[]; state: unknown };
}

describe.each(cases)("a client that reloads: $name", (played) => {
  const { runs, view, secret, kind } = played;

  async function expectView(events: readonly EventLike[], live: readonly EventLike[]) {
    await verifyWithClients(events);
    parseWithSchemas(events);
    const shown = await viewOf(events);
    expect(shown.messages.map(({ id }) => id)).toEqual(view.messages);
    if (view.state !== undefined) expect(shown.state).toEqual(view.state);
    if (secret !== undefined) expect(JSON.stringify(events)).not.toContain(secret);
    // A client whose list is ambiguous may hold less than the thread has.
    if (kind === "ambiguous") return;
    const { messages = [], state = {} } = runs.at(-1)?.input ?? {};
    const held = await viewOf(live, { messages, state });
    expect(shown.messages).toEqual(held.messages);
  }

  test("sees what the client of the live runs sees: now, later, and in a second tab", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath, lingerMs: 0 });
    const { live, secondTab } = await play(runner, played);
    await expectView(secondTab, live);
    await expectView(await replayOf(runner, threadId), live);
    await runner.close();
    if (secret !== undefined) expect(storedText(dbPath)).not.toContain(secret);
    const reopened = openRunner({ dbPath });
    await expectView(await replayOf(reopened, threadId), live);
  });
});
