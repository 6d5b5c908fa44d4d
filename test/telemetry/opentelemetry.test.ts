// Before the guard: it opens stdout when it is loaded.
import "@opentelemetry/sdk-trace";
import "../support/leak-guard.ts";
import { context, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { describe, expect, test } from "vitest";
import { withResource } from "../../src/index.ts";
import { type InstrumentOptions, instrumentRunners } from "../../src/opentelemetry.ts";
import { openRunner, runToEnd, watch } from "../support/open-runner.ts";
import { puppetAgent } from "../support/puppet-agent.ts";
import { processInMidRun } from "../support/runner-process.ts";
import {
  answeringAgent,
  finished,
  heldAgent,
  inputOf,
  type ScriptEvent,
  scriptedAgent,
  started,
  text,
} from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";
import { uncaught } from "../support/uncaught.ts";
import { instrumented } from "./sdk.ts";

function* call(toolCallId: string, toolCallName: string, args: string): Generator<ScriptEvent> {
  yield { type: "TOOL_CALL_START", toolCallId, toolCallName };
  yield { type: "TOOL_CALL_ARGS", toolCallId, delta: args };
  yield { type: "TOOL_CALL_END", toolCallId };
}

const resultOf = (toolCallId: string, content: string): ScriptEvent => ({
  ...{ type: "TOOL_CALL_RESULT", messageId: `result-${toolCallId}`, toolCallId, content },
});

const USAGE = {
  ...{ provider: "openai", model: "gpt-5-mini", inputTokens: 120, outputTokens: 30 },
  ...{ cachedInputTokens: 100, reasoningTokens: 7 },
};

/** Calls a tool, asks its client to execute another, and tells its usage. */
const toolAgent = () =>
  Object.assign(
    scriptedAgent(function* ({ input }) {
      yield started(input);
      yield* text("m", "let me look");
      yield* call("c1", "search", '{"q":"whales"}');
      yield resultOf("c1", "two whales");
      yield* call("c2", "confirm", "{}");
      yield { ...finished(input), usage: [USAGE] };
    }),
    { agentId: "researcher" },
  );

const runIn = (name: string, threadId = "t", agent = toolAgent()) =>
  withResource("ann@example.org", () =>
    runToEnd(openRunner({ dbPath: tempDatabase() }), threadId, name, agent),
  );

const CONTENT = /messages$|arguments$|result$|resource/;
const contentOf = (attributes: object) =>
  Object.keys(attributes).filter(
    (name) => CONTENT.test(name) && name !== "durable_agent_runner.tool.has_result",
  );

describe("a run with tools", () => {
  test("ends each span, also where a call comes again under the same id or without one", async () => {
    const { spans } = instrumented();
    const agent = scriptedAgent(function* ({ input }) {
      yield started(input);
      for (let time = 0; time < 2; time++) {
        yield* call("c1", "search", "{}");
        yield { type: "TOOL_CALL_START", toolCallName: "nameless" };
        yield { type: "TOOL_CALL_END" };
      }
      yield resultOf("c1", "two whales");
      yield finished(input);
    });
    await runToEnd(openRunner({ dbPath: tempDatabase() }), "t", "r", agent);
    const results = spans().map(({ name, attributes }) => [
      name,
      attributes["durable_agent_runner.tool.has_result"],
    ]);
    expect(results).toEqual([
      ["execute_tool search", false],
      ["execute_tool nameless", false],
      ["execute_tool search", true],
      ["execute_tool nameless", false],
      ["invoke_agent", undefined],
    ]);
  });

  test("is an invoke_agent span with execute_tool spans, without content", async () => {
    const { span, spans } = instrumented();
    const events = await runIn("r");
    const run = span("invoke_agent researcher");
    expect(run.kind).toBe(SpanKind.INTERNAL);
    expect(run.status).toEqual({ code: SpanStatusCode.UNSET });
    expect(run.attributes).toEqual({
      "gen_ai.operation.name": "invoke_agent",
      "gen_ai.agent.name": "researcher",
      "gen_ai.conversation.id": "t",
      "gen_ai.provider.name": "openai",
      "gen_ai.request.model": "gpt-5-mini",
      "gen_ai.usage.input_tokens": 120,
      "gen_ai.usage.output_tokens": 30,
      "gen_ai.usage.cache_read.input_tokens": 100,
      "gen_ai.usage.reasoning.output_tokens": 7,
      "durable_agent_runner.run.id": "r",
      "durable_agent_runner.run.epoch": 1,
      "durable_agent_runner.run.rerun": false,
      "durable_agent_runner.run.status": "finished",
      "durable_agent_runner.run.events": events.length,
      "durable_agent_runner.run.waited_ms": expect.any(Number),
    });
    const tools = spans().filter(({ name }) => name.startsWith("execute_tool"));
    expect(tools.map(({ name, attributes }) => ({ name, attributes }))).toEqual([
      {
        name: "execute_tool search",
        attributes: {
          "gen_ai.operation.name": "execute_tool",
          "gen_ai.tool.name": "search",
          "gen_ai.tool.type": "function",
          "gen_ai.tool.call.id": "c1",
          "durable_agent_runner.tool.has_result": true,
        },
      },
      {
        name: "execute_tool confirm",
        attributes: expect.objectContaining({ "durable_agent_runner.tool.has_result": false }),
      },
    ]);
    for (const tool of tools) {
      expect(tool.parentSpanContext?.spanId).toBe(run.spanContext().spanId);
    }
    expect(spans().flatMap(({ attributes }) => contentOf(attributes))).toEqual([]);
  });

  test("has what was said in it when that is asked for", async () => {
    const { span } = instrumented({ content: true });
    await runIn("r");
    const { attributes } = span("invoke_agent researcher");
    expect(JSON.parse(String(attributes["gen_ai.input.messages"]))).toEqual([
      { role: "user", parts: [{ type: "text", content: "text of question-r" }] },
    ]);
    expect(JSON.parse(String(attributes["gen_ai.output.messages"]))).toEqual([
      {
        role: "assistant",
        parts: [{ type: "text", content: "let me look" }],
        finish_reason: "stop",
      },
      {
        role: "assistant",
        parts: [
          { type: "tool_call", id: "c1", name: "search", arguments: { q: "whales" } },
          { type: "tool_call", id: "c2", name: "confirm", arguments: {} },
        ],
        finish_reason: "tool_call",
      },
    ]);
    expect(attributes["durable_agent_runner.resource.id"]).toBe("ann@example.org");
    expect(span("execute_tool search").attributes).toMatchObject({
      "gen_ai.tool.call.arguments": '{"q":"whales"}',
      "gen_ai.tool.call.result": "two whales",
    });
  });

  test("whose calls and texts come in chunks is no different", async () => {
    const { span, spans } = instrumented({ content: true });
    const agent = scriptedAgent(function* ({ input }) {
      yield started(input);
      yield { type: "TEXT_MESSAGE_CHUNK", messageId: "m", role: "assistant", delta: "in " };
      yield { type: "TEXT_MESSAGE_CHUNK", delta: "pieces" };
      const toolCallId = "c1";
      yield { type: "TOOL_CALL_CHUNK", toolCallId, toolCallName: "search", delta: '{"q":' };
      yield { type: "TOOL_CALL_CHUNK", toolCallId, delta: "1}" };
      yield resultOf("c1", "one");
      yield finished(input);
    });
    await runIn("r", "t", agent as ReturnType<typeof toolAgent>);
    expect(spans().map(({ name }) => name)).toEqual(["execute_tool search", "invoke_agent"]);
    expect(span("execute_tool search").attributes["gen_ai.tool.call.arguments"]).toBe('{"q":1}');
    expect(span("invoke_agent").attributes["gen_ai.output.messages"]).toContain('"in pieces"');
  });

  test("is counted in metrics by the names of the conventions", async () => {
    const { points } = instrumented();
    await runIn("r");
    const agent = { "gen_ai.agent.name": "researcher" };
    expect(await points("gen_ai.invoke_agent.duration")).toMatchObject([
      { attributes: agent, value: { count: 1 } },
    ]);
    const model = { "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-5-mini" };
    const operation = { "gen_ai.operation.name": "invoke_agent", ...model };
    expect(await points("gen_ai.client.operation.duration")).toMatchObject([
      { attributes: operation, value: { count: 1 } },
    ]);
    expect(await points("gen_ai.client.token.usage")).toMatchObject([
      { attributes: { ...operation, "gen_ai.token.type": "input" }, value: { sum: 120 } },
      { attributes: { ...operation, "gen_ai.token.type": "output" }, value: { sum: 30 } },
    ]);
    // Nobody has seen how long the client took for the other tool.
    expect(await points("gen_ai.execute_tool.duration")).toMatchObject([
      { attributes: { ...agent, "gen_ai.tool.name": "search" }, value: { count: 1 } },
    ]);
    expect(await points("durable_agent_runner.runs.active")).toMatchObject([{ value: 0 }]);
  });
});

describe("a run that does not finish", () => {
  test("is an error with its code, and its message only as content", async () => {
    for (const content of [false, true]) {
      const { span, points, instrumentation } = instrumented({ content });
      const agent = puppetAgent();
      agent.fail(new Error("no answer to: my secret question"));
      await runIn("r", "t", agent as unknown as ReturnType<typeof toolAgent>);
      const { attributes, status } = span("invoke_agent");
      expect(attributes["error.type"]).toBe("INCOMPLETE_STREAM");
      expect(attributes["durable_agent_runner.run.status"]).toBe("error");
      const message = content ? { message: "no answer to: my secret question" } : {};
      expect(status).toEqual({ code: SpanStatusCode.ERROR, ...message });
      expect(await points("gen_ai.invoke_agent.duration")).toMatchObject([
        { attributes: { "error.type": "INCOMPLETE_STREAM" } },
      ]);
      instrumentation.dispose();
      context.disable();
    }
  });

  test("has an error type of few different values, whatever its agent gives as a code", async () => {
    const { span } = instrumented();
    const agent = scriptedAgent(function* ({ input }) {
      yield started(input);
      yield { type: "RUN_ERROR", message: "broken", code: "failed for ann at 12:01" };
    });
    await runIn("r", "t", agent as ReturnType<typeof toolAgent>);
    expect(span("invoke_agent").attributes["error.type"]).toBe("_OTHER");
  });

  test("is no error when it was stopped", async () => {
    const { span } = instrumented();
    const runner = openRunner({ dbPath: tempDatabase() });
    const agent = heldAgent();
    const run = watch(runner.run({ threadId: "t", agent, input: inputOf("t", "r") }));
    await agent.halfway;
    await runner.stop({ threadId: "t" });
    await run.done;
    const { attributes, status } = span("invoke_agent");
    expect(attributes["durable_agent_runner.run.status"]).toBe("stopped");
    expect(status.code).toBe(SpanStatusCode.UNSET);
  });

  test("is counted when its process died, by the process that ends it", async () => {
    const { points } = instrumented();
    const dbPath = tempDatabase();
    const { owner } = await processInMidRun(dbPath);
    await owner.kill();
    await openRunner({ dbPath }).ready();
    expect(await points("durable_agent_runner.recovered_runs")).toMatchObject([{ value: 1 }]);
    expect(await points("durable_agent_runner.errors")).toMatchObject([
      { attributes: { "durable_agent_runner.log.level": "warn" }, value: 1 },
    ]);
  });
});

describe("spans belong together", () => {
  test("two runs at once: each under the span of its caller, with what its agent does", async () => {
    const { tracer, span } = instrumented();
    const runner = openRunner({ dbPath: tempDatabase() });
    const agentOf = (name: string) =>
      Object.assign(
        scriptedAgent(async function* ({ input }) {
          yield started(input);
          await Promise.resolve();
          tracer.startSpan(`model call of ${name}`).end();
          yield* call(`call-${name}`, `tool-${name}`, "{}");
          await Promise.resolve();
          yield resultOf(`call-${name}`, "done");
          yield finished(input);
        }),
        { agentId: name },
      );
    const request = (name: string) =>
      tracer.startActiveSpan(`POST of ${name}`, async (parent) => {
        const events = runToEnd(runner, `thread of ${name}`, "r", agentOf(name));
        expect(trace.getActiveSpan()).toBe(parent);
        await events;
        parent.end();
      });
    await Promise.all([request("a"), request("b")]);
    for (const name of ["a", "b"]) {
      const run = span(`invoke_agent ${name}`);
      const parent = span(`POST of ${name}`).spanContext();
      expect(run.parentSpanContext?.spanId).toBe(parent.spanId);
      expect(run.attributes["gen_ai.conversation.id"]).toBe(`thread of ${name}`);
      for (const inner of [`model call of ${name}`, `execute_tool tool-${name}`]) {
        expect(span(inner).parentSpanContext?.spanId).toBe(run.spanContext().spanId);
        expect(span(inner).spanContext().traceId).toBe(parent.traceId);
      }
    }
  });
});

test("batches are counted, and how long they took", async () => {
  const { points } = instrumented();
  const runner = openRunner({ dbPath: tempDatabase() });
  await runToEnd(runner, "t", "r", answeringAgent());
  const { batches } = runner.stats();
  for (const name of ["size", "duration", "lag"]) {
    expect(await points(`durable_agent_runner.batch.${name}`)).toMatchObject([
      { value: { count: batches } },
    ]);
  }
});

test("nothing more is recorded once it is disposed of, and runs that go on end their spans", async () => {
  const { instrumentation, spans, points } = instrumented();
  const runner = openRunner({ dbPath: tempDatabase() });
  const agent = heldAgent();
  const run = watch(runner.run({ threadId: "t", agent, input: inputOf("t", "r") }));
  await agent.halfway;
  instrumentation.dispose();
  instrumentation.dispose();
  expect(spans().map(({ name }) => name)).toEqual(["invoke_agent"]);
  agent.release();
  await run.done;
  await runToEnd(runner, "t", "r2", answeringAgent());
  expect(spans()).toHaveLength(1);
  expect(await points("durable_agent_runner.runs.active")).toMatchObject([{ value: 0 }]);
});

test("events that cannot be read or written as JSON cost a run nothing", async () => {
  const errors = uncaught();
  const { span } = instrumented({ content: true });
  const agent = scriptedAgent(function* ({ input }) {
    yield { ...started(input), input: { ...input, messages: [{ role: "user", content: 1n }] } };
    yield {
      type: "TOOL_CALL_START",
      toolCallId: "c",
      get toolCallName(): string {
        throw new Error("hostile");
      },
    };
    yield finished(input);
  });
  const events = await runIn("r", "t", agent as ReturnType<typeof toolAgent>);
  expect(events.at(-1)).toMatchObject({ type: "RUN_FINISHED" });
  expect(span("invoke_agent").attributes["durable_agent_runner.run.status"]).toBe("finished");
  expect(errors).toEqual([]);
});

test.each([
  [{ content: "yes" }, "expected content to be true or false"],
  [{ provider: "" }, "expected provider to be a text"],
  [{ tracerProvider: {} }, "expected tracerProvider to be a TracerProvider"],
  [{ other: 1 }, "expected one of the options tracerProvider"],
  [null, "expected an object of options"],
])("wrong options are a TypeError: %j", (options, message) => {
  expect(() => instrumentRunners(options as InstrumentOptions)).toThrow(message);
});
