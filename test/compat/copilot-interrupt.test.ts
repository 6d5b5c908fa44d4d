import "../support/leak-guard.ts";
import type { Interrupt } from "@ag-ui/client";
import { describe, expect, test } from "vitest";
import { verifyWithClients } from "../events/clients.ts";
import { startCopilotServer } from "../support/copilot-server.ts";
import { type CoreClient, openCoreClient } from "../support/core-client.ts";
import { openRunner, replayOf, runIdsIn } from "../support/open-runner.ts";
import { finished, type Script, started, text } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const threadId = "thread";
const INTERRUPT = { id: "approval", reason: "confirmation", message: "Send it?" };

/**
 * An agent that asks a question, and emits the answer when it is resumed. `asks` ends the run that
 * asks.
 */
function asking(asks: Script): Script {
  return async function* (context) {
    const { input } = context;
    const props = input.forwardedProps as { command?: { resume?: unknown } } | undefined;
    const answer = props?.command?.resume ?? input.resume?.[0]?.payload;
    if (answer === undefined) {
      yield* asks(context);
    } else {
      yield started(input);
      yield* text("outcome", `answered ${JSON.stringify(answer)}`);
      yield finished(input);
    }
  };
}

/** A custom event, as from LangGraph's agents. */
const customEvent: Script = function* ({ input }) {
  yield started(input);
  yield* text("question", "May I?");
  yield { type: "CUSTOM", name: "on_interrupt", value: INTERRUPT };
  yield finished(input);
};

/** The outcome of the run, as AG-UI specifies. */
const outcome: Script = function* ({ input }) {
  yield started(input);
  yield* text("question", "May I?");
  yield { ...finished(input), outcome: { type: "interrupt", interrupts: [INTERRUPT] } };
};

/** What `useInterrupt` keeps of a run or a replay until the user answers. */
function interruptsOf({ agent }: CoreClient) {
  const seen: { runId?: string; event?: unknown; interrupts?: readonly Interrupt[] } = {};
  let event: unknown;
  agent.subscribe({
    onRunStartedEvent() {
      event = undefined;
      delete seen.runId;
      delete seen.event;
      delete seen.interrupts;
    },
    onCustomEvent(params) {
      if (params.event.name === "on_interrupt") event = params.event.value;
    },
    onRunFinishedEvent(params) {
      if (params.outcome === "interrupt") seen.interrupts = params.interrupts;
    },
    onRunFinalized({ input }) {
      if (event === undefined) return;
      seen.runId = input.runId;
      seen.event = event;
    },
  });
  return seen;
}

const contentsOf = ({ agent }: CoreClient) => agent.messages.map(({ content }) => content);

async function setUp(asks: Script) {
  const runner = openRunner({ dbPath: tempDatabase(), onConcurrentRun: "reject" });
  const server = await startCopilotServer(runner, asking(asks));
  const client = openCoreClient(server, { threadId });
  const seen = interruptsOf(client);
  client.agent.addMessage({ id: "user", role: "user", content: "Send the mail" });
  await client.core.runAgent({ agent: client.agent });
  expect(contentsOf(client)).toEqual(["Send the mail", "May I?"]);
  return { runner, server, client, seen };
}

/** A page that is loaded now gets the same state as the client that was there all the time. */
async function expectReload({ runner, server, client }: Awaited<ReturnType<typeof setUp>>) {
  expect(client.failures).toEqual([]);
  expect(contentsOf(client)).toEqual(["Send the mail", "May I?", 'answered {"approved":true}']);
  await verifyWithClients(await replayOf(runner, threadId));
  const reloaded = openCoreClient(server, { threadId });
  const seen = interruptsOf(reloaded);
  await reloaded.core.connectAgent({ agent: reloaded.agent });
  expect(reloaded.failures).toEqual([]);
  expect(reloaded.agent.messages).toEqual(client.agent.messages);
  // The interrupt is answered: it is not shown again.
  expect(seen).toEqual({});
}

describe("an interrupt, with CopilotKit's core client", () => {
  test("raised by a custom event is resumed under the id of the run that it interrupted", async () => {
    const opened = await setUp(customEvent);
    const { runner, client, seen } = opened;
    const { runId, event } = seen;
    expect(event).toEqual(INTERRUPT);
    const command = { resume: { approved: true }, interruptEvent: event };
    await client.core.runAgent({
      agent: client.agent,
      ...(runId === undefined ? {} : { runId }),
      forwardedProps: { command },
    });
    await expectReload(opened);
    expect(runIdsIn(await replayOf(runner, threadId))).toEqual([runId, runId]);
  });

  test("raised by the outcome of a run is resumed as AG-UI specifies", async () => {
    const opened = await setUp(outcome);
    const { client, seen } = opened;
    const interrupts = seen.interrupts ?? [];
    expect(interrupts).toMatchObject([INTERRUPT]);
    await client.core.runAgent({
      agent: client.agent,
      resume: interrupts.map(({ id }) => {
        return { interruptId: id, status: "resolved", payload: { approved: true } };
      }),
    });
    await expectReload(opened);
  });

  test("is shown by a page that was loaded after it was raised", async () => {
    const { server, client } = await setUp(customEvent);
    const reloaded = openCoreClient(server, { threadId });
    const seen = interruptsOf(reloaded);
    await reloaded.core.connectAgent({ agent: reloaded.agent });
    expect(seen.event).toEqual(INTERRUPT);
    expect(reloaded.agent.messages).toEqual(client.agent.messages);
  });
});
