import "../support/leak-guard.ts";
import type { BaseEvent, RunAgentInput } from "@ag-ui/core";
import fc from "fast-check";
import type { Observable } from "rxjs";
import { describe, expect, test } from "vitest";
import type { EventLike, RunnableAgent, SqliteAgentRunner } from "../../src/index.ts";
import { eventsOf, runRows } from "../support/database-file.ts";
import {
  collect,
  collectingLogger,
  openRunner,
  runToEnd,
  typesOf,
  watch,
} from "../support/open-runner.ts";
import { ignoreAbort, puppetAgent } from "../support/puppet-agent.ts";
import { answeringAgent, finished, inputOf, started } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";
import { uncaught } from "../support/uncaught.ts";

const boom = () => {
  throw new Error("boom");
};

async function expectFree(runner: SqliteAgentRunner, runId = "next"): Promise<void> {
  const next = await runToEnd(runner, "t", runId, answeringAgent());
  expect(typesOf(next).at(-1)).toBe("RUN_FINISHED");
}

describe("an abortRun that rejects", () => {
  test("is logged; its run ends by itself, or is cut off like a run that ignores its abort", async () => {
    const errors = uncaught();
    const logger = collectingLogger();
    const runner = openRunner({ dbPath: tempDatabase(), logger, stopTimeoutMs: 0 });
    const agent = puppetAgent();
    agent.abortRun = async () => boom();
    const run = watch(runner.run({ threadId: "t", agent, input: inputOf("t", "r") }));
    await agent.started;
    expect(await runner.stop({ threadId: "t" })).toBe(true);
    expect(typesOf(await run.done)).toEqual(["RUN_STARTED", "RUN_FINISHED"]);
    const { fields } = logger.lines.find(({ level }) => level === "error") ?? {};
    expect(fields).toMatchObject({ err: new Error("boom"), threadId: "t", runId: "r" });
    await expectFree(runner);
    expect(errors).toEqual([]);
  });
});

describe("a getter of the input that throws", () => {
  const broken = (field: string): RunAgentInput =>
    Object.defineProperty(inputOf("t", "r"), field, { get: boom, enumerable: true });
  const message = Object.defineProperty({ role: "user", content: "" }, "id", { get: boom });
  const inputs: readonly (readonly [where: string, input: RunAgentInput])[] = [
    ["messages", broken("messages")],
    ["forwardedProps", broken("forwardedProps")],
    ["state", broken("state")],
    ["a message's id", { ...inputOf("t", "r"), messages: [message as never] }],
  ];

  test.each(inputs)(
    "in %s ends the run with one RUN_ERROR, and frees the thread",
    async (_, input) => {
      const errors = uncaught();
      const dbPath = tempDatabase();
      const runner = openRunner({ dbPath, onConcurrentRun: "enqueue" });
      const agent = answeringAgent();
      const streams = [agent, agent].map(() => runner.run({ threadId: "t", agent, input }));
      for (const stream of streams) {
        expect(await collect(stream)).toEqual([
          {
            type: "RUN_ERROR",
            code: "INCOMPLETE_STREAM",
            message: "The run's input cannot be read: boom",
          },
        ]);
      }
      expect(agent.inputs).toEqual([]);
      await expectFree(runner);
      expect(runRows(dbPath, "t").map(({ run_id }) => run_id)).toEqual(["next"]);
      expect(errors).toEqual([]);
    },
  );

  test("deeper in it loses only that part of the stored input", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    const input = {
      ...inputOf("t", "r"),
      state: {
        fine: 1,
        get broken() {
          return boom();
        },
      },
    };
    const events = await collect(runner.run({ threadId: "t", agent: answeringAgent(), input }));
    expect(typesOf(events).at(-1)).toBe("RUN_FINISHED");
    const [stored] = eventsOf(runRows(dbPath, "t")[0]);
    expect(stored).toHaveProperty("input.state", { fine: 1 });
    await expectFree(runner);
  });

  test("at an id is misuse: a TypeError that names the id", () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const run = { threadId: "t", agent: answeringAgent() };
    expect(() => runner.run({ ...run, input: broken("runId") })).toThrow(
      new TypeError("run: input.runId cannot be read: boom"),
    );
    const request = Object.defineProperty({ ...run }, "input", { get: boom });
    expect(() => runner.run(request as never)).toThrow(TypeError);
  });
});

describe("an agentId that is no string", () => {
  const ids: readonly (readonly [what: string, agentId: unknown])[] = [
    ["an object", { an: "object" }],
    ["a symbol", Symbol("id")],
    ["a number", 7],
    ["a bigint", 1n],
    ["null", null],
    ["a getter that throws", boom],
  ];

  test.each(ids)("is stored as no agent id: %s", async (_, agentId) => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    const agent = Object.defineProperty(answeringAgent(), "agentId", {
      get: agentId === boom ? boom : () => agentId,
    });
    expect(typesOf(await runToEnd(runner, "t", "r", agent)).at(-1)).toBe("RUN_FINISHED");
    expect(runRows(dbPath, "t")).toEqual([expect.objectContaining({ agent_id: null })]);
  });
});

test.each(["throws", "rejects"])(
  "a logger that %s loses no run, and gives a warning of the process",
  async (how) => {
    const errors = uncaught();
    const warned = Promise.withResolvers<Error>();
    process.once("warning", warned.resolve);
    const fail = how === "throws" ? boom : async () => boom();
    const logger = { debug: fail, info: fail, warn: fail, error: fail };
    const runner = openRunner({ dbPath: tempDatabase(), logger, stopTimeoutMs: 0 });
    const agent = puppetAgent(boom);
    const run = watch(runner.run({ threadId: "t", agent, input: inputOf("t", "r") }));
    await agent.started;
    agent.emit(started({ threadId: "t", runId: "r" }), { type: "CUSTOM", name: "n", value: 1n });
    expect(await runner.stop({ threadId: "t" })).toBe(false);
    agent.emit(finished({ threadId: "t", runId: "r" }));
    agent.finish();
    expect(typesOf(await run.done).at(-1)).toBe("RUN_FINISHED");
    expect((await warned.promise).message).toMatch(/the logger failed at .*: boom/);
    await expectFree(runner);
    expect(errors).toEqual([]);
  },
);

test("an unreadable event, emitted from a timer, fails only its run", async () => {
  const errors = uncaught();
  const runner = openRunner({ dbPath: tempDatabase() });
  const agent: RunnableAgent = {
    runAgent(_, { onEvent }) {
      setImmediate(() => {
        onEvent(undefined as never);
        onEvent({ event: null as never });
        onEvent({ event: new Proxy({}, { get: boom }) as BaseEvent });
      });
      return new Promise(ignoreAbort);
    },
    abortRun: ignoreAbort,
  };
  const events = await runToEnd(runner, "t", "r", agent);
  expect(events).toEqual([expect.objectContaining({ code: "INCOMPLETE_STREAM" })]);
  await expectFree(runner);
  expect(errors).toEqual([]);
});

/** Wraps `target` and every value in it or returned by it, so that any access may throw. */
function hostile<T>(target: T, throwsNow: () => boolean): T {
  if ((typeof target !== "object" || target === null) && typeof target !== "function")
    return target;
  const touch = () => {
    if (throwsNow()) boom();
  };
  return new Proxy(target as object, {
    get(inner, key) {
      // Nobody can handle the rejection of a promise that cannot be read: this agent does so itself.
      if (inner instanceof Promise && key === "then") inner.catch(ignoreAbort);
      touch();
      const value: unknown = Reflect.get(inner, key);
      // A proxy may not change a fixed property, and methods of native promises need the promise itself.
      if (inner instanceof Promise) {
        return typeof value === "function" ? value.bind(inner) : value;
      }
      const fixed = Reflect.getOwnPropertyDescriptor(inner, key)?.configurable === false;
      return fixed ? value : hostile(value, throwsNow);
    },
    apply(inner, self, args) {
      touch();
      return hostile(Reflect.apply(inner as () => unknown, self, args), throwsNow);
    },
    has(inner, key) {
      touch();
      return Reflect.has(inner, key);
    },
    ownKeys(inner) {
      touch();
      return Reflect.ownKeys(inner);
    },
    getOwnPropertyDescriptor(inner, key) {
      touch();
      return Reflect.getOwnPropertyDescriptor(inner, key);
    },
    getPrototypeOf(inner) {
      touch();
      return Reflect.getPrototypeOf(inner);
    },
  }) as T;
}

test("with any value that throws when it is read, streams end, the process goes on, and the thread is free", async () => {
  const errors = uncaught();
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath, stopTimeoutMs: 0, onConcurrentRun: "supersede" });
  const touches = fc.record({
    /** Which accesses throw: the first ones by number, and then all or none. */
    throwing: fc.array(fc.boolean(), { maxLength: 60 }),
    always: fc.boolean(),
    agent: fc.boolean(),
    input: fc.boolean(),
    events: fc.boolean(),
    end: fc.constantFrom("finishes", "stopped", "superseded"),
  });
  let run = 0;
  await fc.assert(
    fc.asyncProperty(touches, async ({ throwing, always, ...what }) => {
      let count = 0;
      const throwsNow = () => throwing[count++] ?? always;
      const wrap = <T>(value: T, isHostile: boolean) =>
        isHostile ? hostile(value, throwsNow) : value;
      const runId = `r${run++}`;
      const plain: RunnableAgent = {
        agentId: "a",
        async runAgent(_, { onEvent }) {
          const ids = { threadId: "t", runId };
          const state = { type: "STATE_SNAPSHOT", snapshot: { a: [{ b: 1 }] } };
          for (const event of [started(ids), state, finished(ids)]) {
            onEvent({ event: wrap(event, what.events) as unknown as BaseEvent });
            await Promise.resolve();
          }
        },
        abortRun: async () => boom(),
      };
      const request = {
        threadId: "t",
        agent: wrap(plain, what.agent),
        input: wrap(inputOf("t", runId), what.input),
      };
      let stream: Observable<EventLike>;
      try {
        stream = runner.run(request as never);
      } catch (error) {
        expect(error).toBeInstanceOf(TypeError);
        return;
      }
      const done = collect(stream);
      const follower = collect(runner.connect({ threadId: "t" }));
      if (what.end === "stopped") await runner.stop({ threadId: "t" });
      if (what.end === "superseded") await runToEnd(runner, "t", `s${run}`, answeringAgent());
      expect(["RUN_FINISHED", "RUN_ERROR"]).toContain((await done).at(-1)?.type);
      await follower;
    }),
    {
      numRuns: 150,
      // The promise that this agent's abortRun returns, and that rejects, throws when it is read.
      examples: [
        [
          {
            throwing: [false, true, false, false, true, false, false, true],
            ...{ always: true, agent: true, input: false, events: true, end: "finishes" },
          },
        ],
      ],
    },
  );
  await expectFree(runner);
  expect(errors).toEqual([]);
});
