import "../support/leak-guard.ts";
import "../../examples/no-telemetry.ts";
import type { Interrupt } from "@ag-ui/client";
import { CopilotKitCore, ProxiedCopilotRuntimeAgent } from "@copilotkit/core";
import { describe, expect, test } from "vitest";
import { verifyWithClients } from "../events/clients.ts";
import { type CopilotServer, startCopilotServer } from "../support/copilot-server.ts";
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

/** CopilotKit's client of a page that was just loaded. */
function openClient({ runtimeUrl }: CopilotServer) {
  const agent = new ProxiedCopilotRuntimeAgent({
    runtimeUrl,
    agentId: "default",
    threadId,
    transport: "rest",
  });
  const core = new CopilotKitCore({
    runtimeUrl,
    deferInitialConnection: true,
    agents__unsafe_dev_only: { default: agent },
  });
  const failures: string[] = [];
  core.subscribe({ onError: ({ error }) => void failures.push(error.message) });
  return { core, agent, failures };
}

type Client = ReturnType<typeof openClient>;

/** What `useInterrupt` keeps of a run or a replay until the user answers. */
function interruptsOf({ agent }: Client) {
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

const contentsOf = ({ agent }: Client) => agent.messages.map(({ content }) => content);

async function setUp(asks: Script) {
  const runner = openRunner({ dbPath: tempDatabase(), onConcurrentRun: "reject" });
  const server = await startCopilotServer(runner, asking(asks));
  const client = openClient(server);
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
  const reloaded = openClient(server);
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
    const reloaded = openClient(server);
    const seen = interruptsOf(reloaded);
    await reloaded.core.connectAgent({ agent: reloaded.agent });
    expect(seen.event).toEqual(INTERRUPT);
    expect(reloaded.agent.messages).toEqual(client.agent.messages);
  });
});
