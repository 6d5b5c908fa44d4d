import "../support/leak-guard.ts";
import "../../examples/no-telemetry.ts";
import { setImmediate as nextTurn } from "node:timers/promises";
import * as client0 from "@ag-ui/client";
import type { BaseEvent, Message, RunAgentInput } from "@ag-ui/core";
import * as client1 from "ag-ui-client-1";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { SqliteAgentRunnerOptions } from "../../src/index.ts";
import {
  type CopilotServer,
  eventsIn,
  post,
  startCopilotServer,
} from "../support/copilot-server.ts";
import { runRows } from "../support/database-file.ts";
import {
  asReplayed,
  openRunner,
  replayOf,
  runIdsIn,
  spokenIn,
  watch,
} from "../support/open-runner.ts";
import {
  finished,
  inputOf,
  type Script,
  type ScriptEvent,
  scriptedAgent,
  started,
  text,
} from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const threadId = "thread 1/ä";

/** The part of an HttpAgent that tests use, of either version. */
interface HttpClient {
  messages: Message[];
  runAgent(
    parameters: { runId: string },
    subscriber: {
      onEvent?(params: { event: BaseEvent }): void;
      onRunFailed?(params: { error: Error }): { stopPropagation: boolean };
    },
  ): Promise<unknown>;
  abortRun(): void;
}

type HttpClientClass = new (config: {
  url: string;
  threadId: string;
  initialMessages?: Message[];
}) => HttpClient;

const clients: readonly (readonly [version: string, HttpClientClass])[] = [
  ["0.0.59", client0.HttpAgent as unknown as HttpClientClass],
  ["1.0.0", client1.HttpAgent as unknown as HttpClientClass],
];

interface Followed {
  readonly client: HttpClient;
  readonly events: ScriptEvent[];
  /** Resolves with the events when the stream has ended, with or without an error. */
  readonly done: Promise<ScriptEvent[]>;
  readonly until: (matches: (event: ScriptEvent) => boolean) => Promise<void>;
  /** The error that the client reports. */
  readonly failures: string[];
}

/** A user's message after `history`, sent by a client to `url`. Or only a connect. */
function follow(
  Client: HttpClientClass,
  url: string,
  runId: string,
  messages: Message[] = [],
): Followed {
  const client = new Client({ url, threadId, initialMessages: structuredClone(messages) });
  const events: ScriptEvent[] = [];
  const failures: string[] = [];
  const waiting = new Set<() => void>();
  const run = client.runAgent(
    { runId },
    {
      onEvent({ event }) {
        events.push(structuredClone(event) as unknown as ScriptEvent);
        for (const check of [...waiting]) check();
      },
      onRunFailed({ error }) {
        failures.push(error.message);
        return { stopPropagation: true };
      },
    },
  );
  const done = run.then(
    () => events,
    (error: Error) => {
      failures.push(error.message);
      return events;
    },
  );
  const until = (matches: (event: ScriptEvent) => boolean) =>
    new Promise<void>((found, missed) => {
      const check = () => {
        if (!events.some(matches)) return;
        waiting.delete(check);
        found();
      };
      waiting.add(check);
      check();
      done.then(() => missed(new Error(`no such event came: ${JSON.stringify(events)}`)));
    });
  return { client, events, done, until, failures };
}

function ask(
  Client: HttpClientClass,
  server: CopilotServer,
  runId: string,
  history: Message[],
): Followed {
  const question: Message = { id: `question-${runId}`, role: "user", content: `ask ${runId}` };
  return follow(Client, server.runUrl, runId, [...history, question]);
}

const contentsOf = ({ messages }: HttpClient) => messages.map(({ content }) => content);

/** Answers at once. Runs named "held..." wait in the middle, and runs named "failing..." fail there. */
function agentWithGate() {
  const halfway = Promise.withResolvers<RunAgentInput>();
  const gate = Promise.withResolvers<void>();
  const inputs: RunAgentInput[] = [];
  const script: Script = async function* ({ input, aborted }) {
    inputs.push(input);
    const messageId = `answer-${input.runId}`;
    yield started(input);
    if (input.runId.startsWith("failing")) {
      yield { type: "TEXT_MESSAGE_START", messageId, role: "assistant" };
      yield { type: "TEXT_MESSAGE_CONTENT", messageId, delta: "half an ans" };
      // An AbstractAgent that fails loses the events that it has not passed on.
      await gate.promise;
      throw new Error("the model is overloaded");
    }
    if (!input.runId.startsWith("held")) {
      yield* text(messageId, `answer ${input.runId}`);
      yield finished(input);
      return;
    }
    yield { type: "STEP_STARTED", stepName: "hold" };
    yield { type: "TEXT_MESSAGE_START", messageId, role: "assistant" };
    yield { type: "TEXT_MESSAGE_CONTENT", messageId, delta: "first half, " };
    halfway.resolve(input);
    let isAborted = false;
    const abort = aborted.then(() => {
      isAborted = true;
    });
    await Promise.race([gate.promise, abort]);
    if (isAborted) return;
    yield { type: "TEXT_MESSAGE_CONTENT", messageId, delta: "second half" };
    yield { type: "TEXT_MESSAGE_END", messageId };
    yield { type: "STEP_FINISHED", stepName: "hold" };
    yield finished(input);
  };
  return { script, inputs, halfway: halfway.promise, release: gate.resolve };
}

async function startAll(options: SqliteAgentRunnerOptions = {}) {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath, ...options });
  const agent = agentWithGate();
  const server = await startCopilotServer(runner, agent.script);
  return { dbPath, runner, agent, server };
}

beforeEach(() => {
  // The runtime also logs its error answers on the console.
  vi.spyOn(console, "error").mockImplementation(() => undefined);
  vi.spyOn(console, "warn").mockImplementation(() => undefined);
});
afterEach(() => {
  vi.restoreAllMocks();
});

describe.each(clients)("CopilotRuntime over HTTP, HttpAgent %s", (_version, Client) => {
  test("runs twice; of the history in the second input, only the new message is stored", async () => {
    const { dbPath, agent, server } = await startAll();
    const first = ask(Client, server, "run-1", []);
    await first.done;
    expect(contentsOf(first.client)).toEqual(["ask run-1", "answer run-1"]);
    const second = ask(Client, server, "run-2", first.client.messages);
    await second.done;
    expect([...first.failures, ...second.failures]).toEqual([]);
    const all = ["ask run-1", "answer run-1", "ask run-2", "answer run-2"];
    expect(contentsOf(second.client)).toEqual(all);
    // The agent gets all messages, the store only the new ones.
    expect(agent.inputs[1]?.messages.map(({ content }) => content)).toEqual(all.slice(0, 3));
    expect(second.events[0]).toMatchObject({
      type: "RUN_STARTED",
      input: { messages: [{ id: "question-run-2" }] },
    });
    const stored = JSON.parse(runRows(dbPath, threadId)[1]?.input ?? "") as RunAgentInput;
    expect(stored.messages.map(({ id }) => id)).toEqual(["question-run-2"]);

    const reloaded = follow(Client, server.connectUrl, "reload");
    await reloaded.done;
    expect(reloaded.failures).toEqual([]);
    expect(contentsOf(reloaded.client)).toEqual(all);
    expect(reloaded.client.messages).toEqual(second.client.messages);
  });

  test("a client that connects in the middle of a run gets the history and the run, once each", async () => {
    const { agent, server } = await startAll();
    const before = ask(Client, server, "run-1", []);
    await before.done;
    const live = ask(Client, server, "held-2", before.client.messages);
    await agent.halfway;
    const joined = follow(Client, server.connectUrl, "reload");
    await joined.until(({ delta }) => delta === "first half, ");
    expect(joined.events.some(({ delta }) => delta === "second half")).toBe(false);
    agent.release();
    await Promise.all([live.done, joined.done]);

    expect(joined.failures).toEqual([]);
    expect(runIdsIn(joined.events)).toEqual(["run-1", "held-2"]);
    expect(spokenIn(joined.events)).toBe("answer run-1first half, second half");
    const fromHeld = joined.events.findIndex(({ runId }) => runId === "held-2");
    expect(joined.events.slice(fromHeld)).toEqual(asReplayed(live.events));
    expect(joined.client.messages).toEqual(live.client.messages);
  });

  test("a conversation is stopped in the middle, reloaded, and continued for two more turns", async () => {
    const { agent, server } = await startAll();
    const held = ask(Client, server, "held-1", []);
    await agent.halfway;
    expect(await server.stop(threadId)).toBe(true);
    await held.done;
    expect(held.failures).toEqual([]);
    expect(held.events.at(-1)).toEqual(finished({ threadId, runId: "held-1" }));
    expect(await server.stop(threadId)).toBe(false);

    let shown = ["ask held-1", "first half, "];
    let reloaded = follow(Client, server.connectUrl, "reload");
    await reloaded.done;
    expect(contentsOf(reloaded.client)).toEqual(shown);
    for (const runId of ["run-2", "run-3"]) {
      const turn = ask(Client, server, runId, reloaded.client.messages);
      await turn.done;
      shown = [...shown, `ask ${runId}`, `answer ${runId}`];
      expect(contentsOf(turn.client)).toEqual(shown);
      reloaded = follow(Client, server.connectUrl, "reload");
      await reloaded.done;
      expect(contentsOf(reloaded.client)).toEqual(shown);
      expect([...turn.failures, ...reloaded.failures]).toEqual([]);
    }
  });

  test("with onConcurrentRun reject, a run on a thread that has a run gets a RUN_ERROR", async () => {
    const { dbPath, agent, server } = await startAll({ onConcurrentRun: "reject" });
    const held = ask(Client, server, "held-1", []);
    await agent.halfway;
    const rejected = ask(Client, server, "run-2", []);
    expect(await rejected.done).toEqual([
      { type: "RUN_ERROR", code: "THREAD_ALREADY_RUNNING", message: "Thread already running" },
    ]);
    agent.release();
    await held.done;
    expect(spokenIn(held.events)).toBe("first half, second half");
    expect(agent.inputs.map(({ runId }) => runId)).toEqual(["held-1"]);
    expect(runRows(dbPath, threadId).map((row) => row.run_id)).toEqual(["held-1"]);
  });

  test("when an agent fails, the client gets the reason, and the thread can be reloaded and continued", async () => {
    const { agent, server } = await startAll();
    const failing = ask(Client, server, "failing-1", []);
    await failing.until(({ delta }) => delta === "half an ans");
    agent.release();
    await failing.done;
    expect(failing.events.at(-1)).toMatchObject({
      type: "RUN_ERROR",
      message: "the model is overloaded",
      code: "INCOMPLETE_STREAM",
    });
    const reloaded = follow(Client, server.connectUrl, "reload");
    await reloaded.done;
    expect(contentsOf(reloaded.client)).toEqual(["ask failing-1", "half an ans"]);
    const next = ask(Client, server, "run-2", reloaded.client.messages);
    await next.done;
    expect(next.failures).toEqual([]);
    const again = follow(Client, server.connectUrl, "reload");
    await again.done;
    expect(contentsOf(again.client)).toEqual([
      "ask failing-1",
      "half an ans",
      "ask run-2",
      "answer run-2",
    ]);
  });

  test("a client that aborts its request does not stop the run", async () => {
    const { runner, agent, server } = await startAll();
    const gone = ask(Client, server, "held-1", []);
    await gone.until(({ delta }) => delta === "first half, ");
    const joined = watch(runner.connect({ threadId }));
    await joined.until(({ delta }) => delta === "first half, ");
    gone.client.abortRun();
    await gone.done;
    expect(await runner.isRunning({ threadId })).toBe(true);
    agent.release();
    expect((await joined.done).at(-1)).toEqual(finished({ threadId, runId: "held-1" }));
    expect(spokenIn(gone.events)).toBe("first half, ");

    const reloaded = follow(Client, server.connectUrl, "reload");
    await reloaded.done;
    expect(contentsOf(reloaded.client)).toEqual(["ask held-1", "first half, second half"]);
  });

  test("every run is there after the runner was closed and the file opened again", async () => {
    const { dbPath, runner, agent, server } = await startAll();
    const first = ask(Client, server, "run-1", []);
    await first.done;
    const second = ask(Client, server, "held-2", first.client.messages);
    await agent.halfway;
    agent.release();
    await second.done;
    await server.close();
    await runner.close();

    const reopened = openRunner({ dbPath });
    const restarted = await startCopilotServer(reopened, agentWithGate().script);
    const reloaded = follow(Client, restarted.connectUrl, "reload");
    await reloaded.done;
    expect(reloaded.failures).toEqual([]);
    expect(reloaded.client.messages).toEqual(second.client.messages);
    expect(runIdsIn(reloaded.events)).toEqual(["run-1", "held-2"]);
    const third = ask(Client, restarted, "run-3", reloaded.client.messages);
    await third.done;
    expect(contentsOf(third.client)).toHaveLength(6);
    expect(runIdsIn(await replayOf(reopened, threadId))).toEqual(["run-1", "held-2", "run-3"]);
  });
});

test("an unknown thread is empty, and has nothing to stop", async () => {
  const { server } = await startAll();
  const response = await post(server.connectUrl, inputOf("unknown", "reload", []));
  expect(response.status).toBe(200);
  expect(await eventsIn(response)).toEqual([]);
  expect(await server.stop("unknown")).toBe(false);
});

test("a client that connects between a run's last event and its commit sees the run once", async () => {
  // In memory, one thread writes and reads in order: the commit comes before the first page.
  const runner = openRunner({ dbPath: ":memory:" });
  const { script } = agentWithGate();
  await watch(
    runner.run({ threadId, agent: scriptedAgent(script), input: inputOf(threadId, "run-1") }),
  ).done;
  const agent = scriptedAgent(script);
  const run = watch(runner.run({ threadId, agent, input: inputOf(threadId, "run-2") }));
  let isCommitted = false;
  const committed = run.done.then(() => {
    isCommitted = true;
  });
  await run.until(({ type }) => type === "RUN_FINISHED");
  // The agent ends within these microtasks. Its finish is then sent to the writer, and the answer
  // cannot be here yet.
  for (let microtask = 0; microtask < 50; microtask++) await null;
  await nextTurn();
  expect(isCommitted).toBe(false);
  const replay = await replayOf(runner, threadId);
  expect(runIdsIn(replay)).toEqual(["run-1", "run-2"]);
  expect(spokenIn(replay)).toBe("answer run-1answer run-2");
  await committed;
});
