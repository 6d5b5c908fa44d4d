import { expect } from "vitest";
import { verifyWithClients } from "../events/clients.ts";
import { startCopilotServer } from "./copilot-server.ts";
import { type CoreClient, heldBy, openCoreClient } from "./core-client.ts";
import { openRunner, replayOf } from "./open-runner.ts";
import {
  finished,
  type Script,
  type ScriptContext,
  type ScriptEvent,
  started,
  text,
} from "./scripted-agent.ts";
import { tempDatabase } from "./temp-file.ts";

const threadId = "thread";

/** What the agent emits in a run, between RUN_STARTED and RUN_FINISHED. `turn` counts its runs from 1. */
export type Turn = (turn: number, context: ScriptContext) => Iterable<ScriptEvent>;

/** An agent that plays turns. The run that is to be held waits behind its second event. */
export function agentOf(turns: Turn) {
  let turn = 0;
  let held: { turn: number; reached: (runId: string) => void; released: Promise<void> } | undefined;
  const script: Script = async function* (context) {
    const { input } = context;
    const own = ++turn;
    let emitted = 0;
    const events = [started(input), ...turns(own, context)];
    if (events.at(-1)?.type !== "RUN_FINISHED") events.push(finished(input));
    for (const event of events) {
      yield event;
      if (++emitted !== 2 || held?.turn !== own) continue;
      held.reached(input.runId);
      await held.released;
    }
  };
  const hold = (heldTurn: number) => {
    const reached = Promise.withResolvers<string>();
    const gate = Promise.withResolvers<void>();
    held = { turn: heldTurn, reached: reached.resolve, released: gate.promise };
    return { reached: reached.promise, release: gate.resolve };
  };
  return { script, hold };
}

interface ChatOptions {
  readonly turns: Turn;
  /** Sets a client up: its tools, for example. */
  readonly prepare?: (client: CoreClient) => void;
}

export async function openChat({ turns, prepare = () => undefined }: ChatOptions) {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath });
  const agent = agentOf(turns);
  const server = await startCopilotServer(runner, agent.script);
  const open = (at = server) => {
    const client = openCoreClient(at, { threadId });
    prepare(client);
    return client;
  };
  const live = open();
  let second: CoreClient | undefined;
  return {
    live,
    open,
    runner,
    /** Does `act`, which starts the last runs; a second client connects in the middle of run `turn`. */
    async last<Result>(turn: number, act: () => Promise<Result>): Promise<Result> {
      const held = agent.hold(turn);
      const acting = act();
      const runId = await held.reached;
      const tab = open();
      const caughtUp = new Promise<void>((resolve) => {
        tab.agent.subscribe({
          onRunStartedEvent: ({ event }) => (event.runId === runId ? resolve() : undefined),
        });
      });
      const connecting = tab.connect();
      await caughtUp;
      held.release();
      const [result] = await Promise.all([acting, connecting]);
      second = tab;
      return result;
    },
    /** A page loaded now, one after a restart of the server, and the second client hold what `live` holds. */
    async expectSameEverywhere() {
      expect(live.failures).toEqual([]);
      const shown = heldBy(live);
      if (second !== undefined) expect(heldBy(second)).toEqual(shown);
      await verifyWithClients(await replayOf(runner, threadId));
      const reloaded = open();
      await reloaded.connect();
      expect(heldBy(reloaded)).toEqual(shown);
      await server.close();
      await runner.close();
      const reopened = await startCopilotServer(openRunner({ dbPath }), agent.script);
      const later = open(reopened);
      await later.connect();
      expect(heldBy(later)).toEqual(shown);
      expect([reloaded, later, second].flatMap((client) => client?.failures ?? [])).toEqual([]);
    },
  };
}

export const answers = (turn: number) => text(`a${turn}`, `answer ${turn}`);

/** A tool call of `ask`. */
export function* calling(parentMessageId: string, toolCallId: string): Generator<ScriptEvent> {
  yield { type: "TOOL_CALL_START", toolCallId, toolCallName: "ask", parentMessageId };
  yield { type: "TOOL_CALL_ARGS", toolCallId, delta: "{}" };
  yield { type: "TOOL_CALL_END", toolCallId };
}

/** The least that the parameters of a tool are, of which the client makes a JSON schema. */
const standard = {
  version: 1 as const,
  vendor: "test",
  validate: (value: unknown) => ({ value: value as Record<string, unknown> }),
  jsonSchema: { input: () => ({}), output: () => ({}) },
};
export const PARAMETERS = { "~standard": standard };

/** A tool `ask` of a page. */
export const answered = (content: string) => ({
  name: "ask",
  parameters: PARAMETERS,
  handler: async () => content,
});
