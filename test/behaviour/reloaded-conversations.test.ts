import "../support/leak-guard.ts";
import { type RunAgentInput, RunAgentInputSchema } from "@ag-ui/core";
import { describe, expect, test } from "vitest";
import type { SqliteAgentRunner } from "../../src/index.ts";
import { parseWithSchemas, reduceWithClients, verifyWithClients } from "../events/clients.ts";
import type { Turn as RecordedTurn } from "../fixtures/conversations.ts";
import { conversations } from "../fixtures/sources.ts";
import { collect, openRunner, replayOf, runIdsIn, watch } from "../support/open-runner.ts";
import { type ScriptEvent, scriptedAgent } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

/** A recorded turn with a run id of its own, and otherwise unchanged. */
interface Turn {
  readonly runId: string;
  readonly input: RunAgentInput;
  readonly events: readonly ScriptEvent[];
}

function turnsOf(recorded: readonly RecordedTurn[]): Turn[] {
  return recorded.map(({ scenario, turn, input, events }) => {
    const runId = `${scenario}-${turn}`;
    return {
      runId,
      input: { ...input, runId } as unknown as RunAgentInput,
      events: events.map((event) => ("runId" in event ? { ...event, runId } : event)),
    };
  });
}

/** The same with inputs that a CopilotRuntime accepts: no required field is missing. */
function withValidInputs(turns: readonly Turn[]): Turn[] {
  return turns.map((turn) => {
    // The same message has the same id in the next turn's history.
    const messages = turn.input.messages.map((message) => ({
      ...message,
      id: message.id ?? JSON.stringify(message),
    }));
    const { tools = [], context = [] } = turn.input as Partial<RunAgentInput>;
    const input = { ...turn.input, tools, context, messages };
    return { ...turn, input: RunAgentInputSchema.parse(input) as RunAgentInput };
  });
}

/**
 * Checks that clients accept a replay. The input in a RUN_STARTED comes from the caller, and is checked
 * only where it was valid: recorded inputs often lack ids, tools or context.
 */
async function expectAcceptable(replay: readonly ScriptEvent[], validInputs: boolean) {
  await verifyWithClients(replay);
  const withoutInput = ({ input: _, ...event }: ScriptEvent) => event as ScriptEvent;
  parseWithSchemas(validInputs ? replay : replay.map(withoutInput));
}

async function play(runner: SqliteAgentRunner, threadId: string, turns: readonly Turn[]) {
  const live: ScriptEvent[][] = [];
  for (const { input, events } of turns) {
    const agent = scriptedAgent(() => events);
    live.push(await collect(runner.run({ threadId, agent, input })));
  }
  return live;
}

/**
 * What the client of the last turn holds: the list and the state that it sent, and what it was given. If
 * its messages have no ids, or it sent the last one alone, only what it was given.
 */
async function seenLive(turns: readonly Turn[], live: readonly (readonly ScriptEvent[])[]) {
  const { input } = turns.at(-1) ?? {};
  const hasIds = input?.messages.every(({ id }) => id) === true;
  const isWhole = input?.messages[0]?.id === turns[0]?.input.messages[0]?.id;
  if (!hasIds || !isWhole) return reduceWithClients(live.flat());
  const { messages = [], state = {} } = input ?? {};
  return reduceWithClients(live.at(-1) ?? [], { messages, state });
}

describe.each(conversations)("conversations, $name", ({ turns: all }) => {
  const scenarios = [...Map.groupBy(all, ({ scenario }) => scenario)];

  test("are there", () => {
    expect(scenarios.length).toBeGreaterThan(0);
  });

  for (const [scenario, recorded] of scenarios) {
    const asRecorded = turnsOf(recorded);
    const runIds = asRecorded.map(({ runId }) => runId);

    for (const validInputs of [false, true]) {
      const title = validInputs ? `${scenario}, with valid inputs` : scenario;
      const turns = validInputs ? withValidInputs(asRecorded) : asRecorded;

      test(`${title}: a client that reloads sees what it saw live`, async () => {
        const dbPath = tempDatabase();
        const runner = openRunner({ dbPath });
        const live = await play(runner, scenario, turns);
        const replay = await replayOf(runner, scenario);
        await expectAcceptable(replay, validInputs);
        expect(runIdsIn(replay)).toEqual(runIds);
        const seen = await seenLive(turns, live);
        for (const { messages } of seen) expect(messages).not.toEqual([]);
        expect(await reduceWithClients(replay)).toEqual(seen);

        await runner.close();
        expect(await replayOf(openRunner({ dbPath }), scenario)).toEqual(replay);
      });

      test(`${title}: so does one that joins in the middle of the last turn`, async () => {
        const runner = openRunner({ dbPath: tempDatabase(), lingerMs: 0 });
        const live = await play(runner, scenario, turns.slice(0, -1));
        const last = turns.at(-1);
        if (last === undefined) throw new Error("a scenario without turns");
        const { input, events } = last;
        const middle = Math.floor(events.length / 2);
        const reached = Promise.withResolvers<void>();
        const gate = Promise.withResolvers<void>();
        const agent = scriptedAgent(async function* () {
          yield* events.slice(0, middle);
          reached.resolve();
          await gate.promise;
          yield* events.slice(middle);
        });
        const run = watch(runner.run({ threadId: scenario, agent, input }));
        await reached.promise;
        const joined = watch(runner.connect({ threadId: scenario }));
        await joined.until(({ type, runId }) => type === "RUN_STARTED" && runId === last.runId);
        gate.resolve();
        live.push(await run.done);
        const replay = await joined.done;
        await expectAcceptable(replay, validInputs);
        expect(runIdsIn(replay)).toEqual(runIds);
        expect(await reduceWithClients(replay)).toEqual(await seenLive(turns, live));
      });
    }
  }
});
