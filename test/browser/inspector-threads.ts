import { lastValueFrom, type Observable } from "rxjs";
import { EVERY_RESOURCE, type EventLike, withResource } from "../../src/index.ts";
import { newRunner } from "../support/new-runner.ts";
import { collectingLogger } from "../support/open-runner.ts";
import { type Script, type ScriptEvent, scriptedAgent } from "../support/scripted-agent.ts";

type Runner = ReturnType<typeof newRunner>;

/** A text that would run a script, wherever a page takes it for HTML. */
export const HOSTILE = `<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>`;
/** An id with all that URLs and HTML treat in a special way. */
export const ODD_ID = `../a%2Fb?c=d&e#f "<script>window.hacked=1</script>" ünï/..`;

/** Milliseconds that a run of the weather agent takes by its own clock. */
const WEATHER_MS = 4000;

/** Events with the timestamps of an agent's clock. `wait` is in milliseconds. */
function timed(begin: number) {
  let now = begin;
  return {
    wait(ms: number) {
      now += ms;
    },
    event(type: string, fields: object = {}): ScriptEvent {
      return { type, timestamp: now, ...fields };
    },
  };
}

/** The weather, asked of two tools, with reasoning, state and steps. */
function weatherAgent(at: number, temperature: number) {
  return scriptedAgent(function* ({ input }) {
    const { threadId, runId } = input;
    // Its last event is just now.
    const clock = timed(Date.now() - WEATHER_MS);
    const { event, wait } = clock;
    const message = `answer-${runId}`;
    yield event("RUN_STARTED", { threadId, runId });
    wait(80);
    yield event("STEP_STARTED", { stepName: "plan" });
    yield event("REASONING_START", { messageId: `think-${runId}` });
    yield event("REASONING_MESSAGE_START", { messageId: `think-${runId}`, role: "reasoning" });
    wait(900);
    yield event("REASONING_MESSAGE_CONTENT", {
      messageId: `think-${runId}`,
      delta: "They ask about Utrecht. I need the forecast, and a place to be if it rains.",
    });
    yield event("REASONING_MESSAGE_END", { messageId: `think-${runId}` });
    yield event("REASONING_END", { messageId: `think-${runId}` });
    yield event("STEP_FINISHED", { stepName: "plan" });
    yield event("STEP_STARTED", { stepName: "look up" });
    for (const [name, args, result, ms] of [
      ["get_forecast", { city: "Utrecht", days: 3 }, { sky: "rain", temperature }, 1400],
      ["find_museums", { city: "Utrecht", open: true }, ["Centraal Museum", "Spoorwegmuseum"], 600],
    ] as const) {
      const toolCallId = `${name}-${runId}`;
      wait(120);
      yield event("TOOL_CALL_START", {
        toolCallId,
        toolCallName: name,
        parentMessageId: `calls-${runId}`,
      });
      yield event("TOOL_CALL_ARGS", { toolCallId, delta: JSON.stringify(args) });
      yield event("TOOL_CALL_END", { toolCallId });
      wait(ms);
      const content = JSON.stringify(result);
      yield event("TOOL_CALL_RESULT", { messageId: `result-${toolCallId}`, toolCallId, content });
    }
    yield event("STEP_FINISHED", { stepName: "look up" });
    yield event("STATE_SNAPSHOT", {
      snapshot: { city: "Utrecht", forecast: { sky: "rain", temperature }, plans: ["museum"] },
    });
    yield event("TEXT_MESSAGE_START", { messageId: message, role: "assistant" });
    for (const delta of [
      `It will **rain** in Utrecht, at ${temperature} °C. `,
      "Two museums are open:\n\n| museum | until |\n|---|---|\n| Centraal Museum | 17:00 |\n",
      "| Spoorwegmuseum | 17:00 |\n\n```ts\nconst umbrella = true;\n```\n",
    ]) {
      wait(250);
      yield event("TEXT_MESSAGE_CONTENT", { messageId: message, delta });
    }
    yield event("TEXT_MESSAGE_END", { messageId: message });
    yield event("STATE_DELTA", {
      delta: [{ op: "add", path: "/plans/-", value: `umbrella for ${temperature} °C` }],
    });
    yield event("CUSTOM", { name: "metrics", value: { cache: "hit" } });
    wait(30);
    const usage = [{ inputTokens: 812 + at, outputTokens: 120, totalTokens: 932 + at }];
    yield event("RUN_FINISHED", { threadId, runId, usage });
  });
}

/** An agent that fails in the middle of its answer. */
function failingAgent() {
  return scriptedAgent(function* ({ input: { threadId, runId } }) {
    yield { type: "RUN_STARTED", threadId, runId };
    yield { type: "TEXT_MESSAGE_START", messageId: `a-${runId}`, role: "assistant" };
    yield { type: "TEXT_MESSAGE_CONTENT", messageId: `a-${runId}`, delta: "Let me see: " };
    yield { type: "RUN_ERROR", message: "The model is overloaded", code: "MODEL_OVERLOADED" };
  });
}

/** An agent that asks before it goes on. */
function askingAgent() {
  return scriptedAgent(function* ({ input: { threadId, runId } }) {
    const interrupts = [{ id: "ask-1", reason: "approval", message: "Book the Centraal Museum?" }];
    yield { type: "RUN_STARTED", threadId, runId };
    yield { type: "RUN_FINISHED", threadId, runId, outcome: { type: "interrupt", interrupts } };
  });
}

/** An agent whose every text is hostile. */
function hostileAgent() {
  return scriptedAgent(function* ({ input: { threadId, runId } }) {
    const messageId = `answer-${runId}`;
    const toolCallId = `call-${runId}`;
    const markdown =
      "[a link](javascript:window.hacked=1) ![a picture](https://images.example/p.png) <b>bold</b>";
    yield { type: "RUN_STARTED", threadId, runId };
    yield { type: "TEXT_MESSAGE_START", messageId, role: "assistant" };
    yield { type: "TEXT_MESSAGE_CONTENT", messageId, delta: `${HOSTILE}\n\n${markdown}` };
    yield { type: "TEXT_MESSAGE_END", messageId };
    yield { type: "TOOL_CALL_START", toolCallId, toolCallName: HOSTILE };
    yield { type: "TOOL_CALL_ARGS", toolCallId, delta: JSON.stringify({ [HOSTILE]: HOSTILE }) };
    yield { type: "TOOL_CALL_END", toolCallId };
    yield { type: "STATE_SNAPSHOT", snapshot: { [HOSTILE]: HOSTILE } };
    yield { type: "CUSTOM", name: HOSTILE, value: HOSTILE };
    yield { type: "RUN_FINISHED", threadId, runId };
  });
}

/** Messages of one word, three events each. */
function talkativeAgent(messages: number) {
  return scriptedAgent(function* ({ input: { threadId, runId } }) {
    yield { type: "RUN_STARTED", threadId, runId };
    for (let at = 0; at < messages; at++) {
      const messageId = `m-${at}`;
      yield { type: "TEXT_MESSAGE_START", messageId, role: "assistant" };
      yield { type: "TEXT_MESSAGE_CONTENT", messageId, delta: `word ${at}` };
      yield { type: "TEXT_MESSAGE_END", messageId };
    }
    yield { type: "RUN_FINISHED", threadId, runId };
  });
}

const answer: Script = function* ({ input: { threadId, runId } }) {
  yield { type: "RUN_STARTED", threadId, runId };
  yield { type: "TEXT_MESSAGE_START", messageId: `answer-${runId}`, role: "assistant" };
  yield { type: "TEXT_MESSAGE_CONTENT", messageId: `answer-${runId}`, delta: "Yes." };
  yield { type: "TEXT_MESSAGE_END", messageId: `answer-${runId}` };
  yield { type: "RUN_FINISHED", threadId, runId };
};

export async function ask(
  runner: Runner,
  threadId: string,
  runId: string,
  question: string,
  agent: ReturnType<typeof scriptedAgent>,
): Promise<void> {
  const message = { id: `question-${runId}`, role: "user" as const, content: question };
  const input = { threadId, runId, messages: [message], tools: [], context: [], state: undefined };
  const request = { threadId, agent: named(agent), input: { ...input, forwardedProps: {} } };
  await lastValueFrom(runner.run(request as never) as Observable<EventLike>);
}

/** Agents have a name, by which the list can be filtered. */
function named<Agent extends object>(agent: Agent): Agent & { readonly agentId: string } {
  return { ...agent, agentId: "concierge" };
}

/** A few threads of each kind. */
export async function storeThreads(dbPath: string): Promise<void> {
  const runner = newRunner({ dbPath, logger: collectingLogger() });
  const weather = "What will the weather be in Utrecht, and what can we do there?";
  for (let at = 0; at < 6; at++) {
    const run = () =>
      ask(
        runner,
        "weather",
        `weather-${at}`,
        at === 0 ? weather : "And now?",
        weatherAgent(at, 11 + at),
      );
    await withResource("ada", run);
  }
  await ask(runner, "failed", "failed-0", "Is anybody there?", failingAgent());
  await ask(runner, "asking", "asking-0", "Book me a museum", askingAgent());
  await ask(runner, ODD_ID, "odd/../run", HOSTILE, hostileAgent());
  for (let at = 0; at < 30; at++) {
    await ask(
      runner,
      `small-${at}`,
      `small-run-${at}`,
      `Question number ${at}`,
      scriptedAgent(answer),
    );
  }
  await withResource(EVERY_RESOURCE, async () => {
    await runner.threads.archive("small-7");
    await runner.threads.rename("small-8", HOSTILE);
    await runner.threads.fork("weather", { newThreadId: "weather-fork" });
  });
  await runner.close();
}

/** A thread with a run of 36 000 events. */
export async function storeLongRun(dbPath: string, threadId: string): Promise<void> {
  const runner = newRunner({ dbPath, logger: collectingLogger() });
  await ask(runner, threadId, "long-run", "Say twelve thousand words", talkativeAgent(12_000));
  await runner.close();
}

export async function storeManyThreads(dbPath: string, threads: number): Promise<void> {
  const runner = newRunner({ dbPath, logger: collectingLogger() });
  for (let first = 0; first < threads; first += 500) {
    await Promise.all(
      Array.from({ length: Math.min(500, threads - first) }, (_, at) =>
        ask(
          runner,
          `t-${first + at}`,
          `r-${first + at}`,
          `Topic ${first + at}`,
          scriptedAgent(answer),
        ),
      ),
    );
  }
  await runner.close();
}
