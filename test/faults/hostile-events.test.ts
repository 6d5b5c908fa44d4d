import "../support/leak-guard.ts";
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { compactRun } from "../../src/events/compact/compact.ts";
import { packEvents, unpackEvents } from "../../src/events/json/pack.ts";
import { reduceWithClients, verifyWithClients } from "../events/clients.ts";
import { runRows } from "../support/database-file.ts";
import {
  type CollectingLogger,
  collectingLogger,
  openRunner,
  replayOf,
  runIdsIn,
  runToEnd,
  spokenIn,
  typesOf,
  watch,
} from "../support/open-runner.ts";
import { puppetAgent } from "../support/puppet-agent.ts";
import {
  answeringAgent,
  finished,
  inputOf,
  type ScriptEvent,
  scriptedAgent,
  started,
  text,
} from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";
import { uncaught } from "../support/uncaught.ts";

const builtIns = [Object, Array, Function, String, Number].map(
  (builtIn) => [builtIn.prototype, Object.getOwnPropertyNames(builtIn.prototype)] as const,
);

afterEach(() => {
  for (const [prototype, names] of builtIns) {
    expect(Object.getOwnPropertyNames(prototype)).toEqual(names);
  }
  expect(Object.keys(Object)).toEqual([]);
});

/** An agent that emits `events` between its start and its end. */
const emitting = (events: Iterable<ScriptEvent>) =>
  scriptedAgent(function* ({ input }) {
    yield started(input);
    yield* events;
    yield finished(input);
  });

const parsed = (json: string) => JSON.parse(json) as ScriptEvent;

/** Runs `events`, then an ordinary run. Returns the events of the first run that a later client gets. */
async function storeAndReplay(
  events: readonly ScriptEvent[],
): Promise<{ live: ScriptEvent[]; replay: ScriptEvent[]; warnings: CollectingLogger["lines"] }> {
  const errors = uncaught();
  const dbPath = tempDatabase();
  const logger = collectingLogger();
  const runner = openRunner({ dbPath, logger });
  const agent = puppetAgent();
  const run = watch(runner.run({ threadId: "t", agent, input: inputOf("t", "odd") }));
  // A client that connects meanwhile gets the same objects, through the repair.
  const follower = watch(runner.connect({ threadId: "t" }));
  await agent.started;
  agent.emit(started(inputOf("t", "odd")), ...events, finished(inputOf("t", "odd")));
  agent.finish();
  const live = await run.done;
  expect(live.at(-1)).toMatchObject({ type: "RUN_FINISHED" });
  expect(live.length).toBe(events.length + 2);
  expect((await follower.done).at(-1)).toMatchObject({ type: "RUN_FINISHED" });
  const replay = await replayOf(runner, "t");
  await verifyWithClients(replay);
  await runToEnd(runner, "t", "next", answeringAgent());
  const both = await replayOf(runner, "t");
  expect(runIdsIn(both)).toEqual(["odd", "next"]);
  expect(spokenIn(both)).toContain("answer to next");
  await verifyWithClients(both);
  expect(runRows(dbPath, "t").map((row) => row.run_id)).toEqual(["odd", "next"]);
  await runner.close();
  expect(errors).toEqual([]);
  const warnings = logger.lines.filter(({ level }) => level !== "debug" && level !== "info");
  return { live, replay, warnings };
}

const KEYS = ["__proto__", "constructor", "prototype", "toString", "hasOwnProperty", "toJSON"];

describe("JSON with keys that every object inherits", () => {
  const hostile = `{${KEYS.map((key) => `${JSON.stringify(key)}:{"polluted":1,"n":[1]}`).join(",")}}`;
  const events: readonly (readonly [where: string, json: string])[] = [
    ["an event", `{"type":"CUSTOM","name":"n","value":1,${hostile.slice(1)}`],
    ["a value", `{"type":"CUSTOM","name":"n","value":${hostile}}`],
    ["a rawEvent", `{"type":"CUSTOM","name":"n","value":1,"rawEvent":${hostile}}`],
    ["a RAW event", `{"type":"RAW","event":${hostile}}`],
    ["a state", `{"type":"STATE_SNAPSHOT","snapshot":${hostile}}`],
    [
      "a message",
      `{"type":"MESSAGES_SNAPSHOT","messages":[{"id":"m","role":"user","content":${hostile}}]}`,
    ],
    [
      "an activity",
      `{"type":"ACTIVITY_SNAPSHOT","messageId":"a","activityType":"x","content":${hostile}}`,
    ],
  ];

  it.each(events)("in %s is unchanged after a replay", async (_, json) => {
    const { replay } = await storeAndReplay([parsed(json)]);
    expect(JSON.stringify(replay[1])).toBe(json);
  });

  it("in deltas that merge is kept", async () => {
    const delta = (word: string) =>
      parsed(
        `{"type":"TEXT_MESSAGE_CONTENT","messageId":"m","delta":"${word}","metadata":${hostile},"__proto__":{"a":1}}`,
      );
    const [begin, , end] = [...text("m", "x")] as [ScriptEvent, ScriptEvent, ScriptEvent];
    const { replay } = await storeAndReplay([begin, delta("a"), delta("b"), end]);
    expect(JSON.stringify(replay[2])).toBe(JSON.stringify(delta("ab")));
  });

  it("in the input is kept in the run's RUN_STARTED and in the store", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    const input = {
      ...inputOf("t", "r"),
      state: parsed(hostile),
      forwardedProps: parsed(hostile),
      messages: [parsed(`{"id":"m","role":"user","content":"c","__proto__":{"polluted":1}}`)],
    } as unknown as ReturnType<typeof inputOf>;
    const done = watch(runner.run({ threadId: "t", agent: emitting([]), input })).done;
    const [begin] = await done;
    const [replayed] = await replayOf(runner, "t");
    expect(JSON.stringify(begin?.input)).toBe(JSON.stringify(input));
    const { forwardedProps: _, ...stored } = input;
    expect(runRows(dbPath, "t")[0]?.input).toBe(JSON.stringify(stored));
    const shown = (replayed?.input as { messages?: unknown } | undefined)?.messages;
    expect(JSON.stringify(shown)).toBe(JSON.stringify(input.messages));
  });
});

describe("a STATE_DELTA with a path to a prototype", () => {
  const patches: readonly (readonly object[])[] = [
    [{ op: "add", path: "/__proto__/polluted", value: 1 }],
    [{ op: "replace", path: "/__proto__/toString", value: 1 }],
    [{ op: "add", path: "/constructor/prototype/polluted", value: 1 }],
    [{ op: "add", path: "/list/__proto__/polluted", value: 1 }],
    [{ op: "add", path: "/list/constructor/prototype/polluted", value: 1 }],
    [{ op: "replace", path: "/list/length", value: 1e9 }],
    [{ op: "add", path: "/list/4294967294", value: 1 }],
    [{ op: "add", path: "/~1~0__proto__/polluted", value: 1 }],
    [{ op: "add", path: "/constructor/polluted", value: 1 }],
    [
      { op: "copy", from: "/constructor", path: "/c" },
      { op: "add", path: "/c/polluted", value: 1 },
      { op: "add", path: "/c/prototype/polluted", value: 1 },
    ],
    [
      { op: "copy", from: "/__proto__", path: "/p" },
      { op: "add", path: "/p/polluted", value: 1 },
    ],
    [
      { op: "move", from: "/constructor/prototype", path: "/p" },
      { op: "remove", path: "/p/toString" },
    ],
    [{ op: "test", path: "/__proto__/constructor", value: {} }],
    [{ op: "move", from: "/list", path: "/__proto__" }],
    [{ op: "remove", path: "/__proto__/toString" }],
    [JSON.parse('{"op":"add","path":"/a","value":{"__proto__":{"polluted":1}}}') as object],
    [
      JSON.parse(
        '{"op":"add","path":"/a/__proto__/b","value":1,"__proto__":{"from":"/a"}}',
      ) as object,
    ],
  ];

  it.each(patches.map((patch) => [JSON.stringify(patch), patch] as const))(
    "is stored and replayed, and changes no prototype: %s",
    async (_, delta) => {
      const snapshot = { a: {}, list: [1, 2], "/~__proto__": {} };
      const { replay } = await storeAndReplay([
        { type: "STATE_SNAPSHOT", snapshot },
        { type: "STATE_DELTA", delta },
        { type: "STATE_DELTA", delta: [{ op: "add", path: "/after", value: 1 }] },
      ]);
      for (const { state } of await reduceWithClients(replay)) {
        expect(state).toMatchObject({ after: 1 });
      }
    },
  );

  it("does not change the prototype by any path", () => {
    const key = fc.constantFrom(...KEYS, "a", "0", "-", "~0", "~1", "", "length", "~01proto__");
    const path = fc.array(key, { maxLength: 4 }).map((keys) => keys.map((k) => `/${k}`).join(""));
    const value = fc.constantFrom(1, {}, [], null, JSON.parse('{"__proto__":{"x":1}}') as object);
    const op = fc.constantFrom("add", "replace", "remove", "move", "copy", "test", "_get");
    const patch = fc.array(fc.record({ op, path, from: path, value }), { maxLength: 4 });
    fc.assert(
      fc.property(fc.array(patch, { maxLength: 3 }), value, (deltas, state) => {
        const events = [
          { type: "RUN_STARTED", input: { state } },
          ...deltas.map((delta) => ({ type: "STATE_DELTA", delta })),
          { type: "RUN_FINISHED" },
        ];
        JSON.stringify(compactRun(events, { state }));
        for (const [prototype, names] of builtIns) {
          expect(Object.getOwnPropertyNames(prototype)).toEqual(names);
        }
        expect(Object.keys(Object)).toEqual([]);
      }),
    );
  });

  it("does not change the prototype when its events are packed", () => {
    const event = parsed('{"type":"CUSTOM","constructor":1,"prototype":2,"toString":3}');
    const events = Array.from({ length: 20 }, (_, value) => ({ ...event, value }));
    expect(unpackEvents(packEvents(events))).toEqual(events);
  });
});

describe("ids", () => {
  const MEGA = 1_000_000;
  const ids: readonly (readonly [name: string, id: string])[] = [
    ...KEYS.map((key) => [key, key] as const),
    ["with a NUL in the middle", "a\0b"],
    ["that is a NUL", "\0"],
    ["with a NUL at the end", "a\0"],
    ["of emoji", "👩‍👩‍👧🏽 \u202e"],
    ["of quotes and line ends", `"'\`;--\n\r\u2028%_\\`],
    ["of a million characters", "i".repeat(MEGA)],
    ["of a million characters, but for the last", `${"i".repeat(MEGA - 1)}j`],
  ];

  it("of any content name only their own thread, run, message, call and step", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    const eventsOf = (id: string): ScriptEvent[] => [
      { type: "STEP_STARTED", stepName: id },
      ...text(id, `of ${id.length}`),
      { type: "TOOL_CALL_START", toolCallId: id, toolCallName: id, parentMessageId: id },
      { type: "TOOL_CALL_ARGS", toolCallId: id, delta: id },
      { type: "TOOL_CALL_END", toolCallId: id },
      { type: "TOOL_CALL_RESULT", toolCallId: id, messageId: `${id} result`, content: id },
      { type: "STEP_FINISHED", stepName: id },
    ];
    for (const [, id] of ids) {
      const input = { ...inputOf(id, id, [id]) };
      const run = watch(runner.run({ threadId: id, agent: emitting(eventsOf(id)), input }));
      await run.done;
    }
    for (const again of [runner, openRunner({ dbPath })]) {
      for (const [name, id] of ids) {
        const replay = await replayOf(again, id);
        const ends = replay.findIndex(({ type }) => type === "RUN_FINISHED");
        const [begin, ...rest] = replay.slice(0, ends + 1);
        // Compared by hand: the difference between two such ids takes ages to print.
        expect(begin?.threadId === id && begin.runId === id, name).toBe(true);
        expect(spokenIn(rest) === `of ${id.length}`, name).toBe(true);
        const bare = eventsOf(id).filter(({ type }) => type !== "TEXT_MESSAGE_CONTENT");
        const replayed = rest.filter(({ type }) => type !== "TEXT_MESSAGE_CONTENT");
        expect(replayed.length, name).toBe(bare.length + 1);
        expect(JSON.stringify(replayed.slice(0, -1)) === JSON.stringify(bare), name).toBe(true);
        await verifyWithClients(replay);
        expect(await again.isRunning({ threadId: id })).toBe(false);
        expect(await again.stop({ threadId: id, runId: id })).toBe(false);
        const other = `${id} other`;
        await runToEnd(again, other, id, answeringAgent());
        const { length } = runIdsIn(await replayOf(again, other)).filter((runId) => runId === id);
        expect(length, name).toBe(again === runner ? 1 : 2);
      }
      // The message counts as seen in its own thread.
      const [, id] = ids[0] as (typeof ids)[number];
      const runId = `next of ${again === runner}`;
      const input = inputOf(id, runId, [id]);
      const [begin] = await watch(again.run({ threadId: id, agent: emitting([]), input })).done;
      expect(begin).toMatchObject({ input: { messages: [] } });
    }
  });

  it.each(["\ud800", "a\udc00b", "\udfff\ud800"])(
    "with a lone surrogate (%j) are a TypeError for a thread or run, and allowed in an event",
    async (id) => {
      const runner = openRunner({ dbPath: tempDatabase() });
      const agent = answeringAgent();
      expect(() => runner.run({ threadId: id, agent, input: inputOf("t", "r") })).toThrow(
        TypeError,
      );
      expect(() => runner.run({ threadId: "t", agent, input: inputOf("t", id) })).toThrow(
        TypeError,
      );
      expect(() => runner.connect({ threadId: id })).toThrow(TypeError);
      expect(agent.inputs).toEqual([]);
      const { replay } = await storeAndReplay([...text(id, "a\ud800 \udc00b")]);
      expect(replay.map(({ messageId }) => messageId)).toEqual([undefined, id, id, id, undefined]);
      expect(spokenIn(replay)).toBe("a\ud800 \udc00b");
    },
  );
});

describe("an event that", () => {
  const boom = (): never => {
    throw new Error("boom");
  };
  const withGetter = (name: string, event: ScriptEvent = { type: "CUSTOM", name: "n", value: 1 }) =>
    Object.defineProperty({ ...event }, name, { enumerable: true, get: boom }) as ScriptEvent;
  const word = { type: "TEXT_MESSAGE_CONTENT", messageId: "m", delta: "said" };
  const nested = (depth: number): unknown => {
    let value: unknown = "bottom";
    for (let at = 0; at < depth; at++) value = at % 2 === 0 ? [value] : { value };
    return value;
  };
  const [begin, , end] = [...text("m", "x")] as [ScriptEvent, ScriptEvent, ScriptEvent];

  interface Odd {
    readonly name: string;
    readonly events: readonly ScriptEvent[];
    /** The events that a replay shows, without the start and the end of the run. */
    readonly replayed: readonly unknown[];
    /** Whether a part of it cannot be stored, so that a warning is expected. */
    readonly warns: boolean;
  }
  const custom = { type: "CUSTOM", name: "n", value: 1 };
  const misfit = [{ op: "replace", path: "/no/such/place", value: 1 }];
  const odd: readonly Odd[] = [
    { name: "is frozen", events: [Object.freeze({ ...custom })], replayed: [custom], warns: false },
    {
      name: "has no name for its type",
      events: [{ type: "" }],
      replayed: [{ type: "" }],
      warns: false,
    },
    ...["__proto__", "constructor", "toString"].map((type) => ({
      name: `has the type ${type}`,
      events: [{ type, delta: "d" }],
      replayed: [{ type, delta: "d" }],
      warns: false,
    })),
    ...[5, null, undefined, {}, [], true].map((type) => ({
      name: `has the type ${JSON.stringify(type)}`,
      events: [{ type } as unknown as ScriptEvent, custom],
      replayed: [custom],
      warns: true,
    })),
    {
      name: "has a getter that throws",
      events: [withGetter("extra", custom)],
      replayed: [custom],
      warns: true,
    },
    {
      name: "has a delta that throws",
      events: [begin, withGetter("delta", { ...word }), { ...word }, end],
      replayed: [begin, word, end],
      warns: true,
    },
    {
      name: "has a tag that throws",
      events: [begin, withGetter("subagentRunId", { ...word }), end],
      replayed: [begin, word, end],
      warns: true,
    },
    {
      name: "has a rawEvent that throws",
      events: [withGetter("rawEvent", custom)],
      replayed: [custom],
      warns: true,
    },
    {
      name: "has a circular rawEvent",
      events: [{ ...custom, rawEvent: circular() }],
      replayed: [{ ...custom, rawEvent: { name: "response" } }],
      warns: true,
    },
    {
      name: "holds a BigInt",
      events: [{ ...custom, value: 10n }],
      replayed: [{ type: "CUSTOM", name: "n" }],
      warns: true,
    },
    {
      name: "holds a toJSON that throws",
      events: [{ ...custom, value: { toJSON: boom } }],
      replayed: [{ type: "CUSTOM", name: "n" }],
      warns: true,
    },
    {
      name: "is a STATE_DELTA that does not apply",
      events: [{ type: "STATE_DELTA", delta: misfit }],
      // It changes no state, and a replay shows states at its end.
      replayed: [],
      warns: false,
    },
    {
      name: "is a STATE_DELTA that is no patch",
      events: [{ type: "STATE_DELTA", delta: null }],
      replayed: [],
      warns: false,
    },
    {
      name: "is a Proxy",
      events: [new Proxy({ ...custom }, {})],
      replayed: [custom],
      warns: false,
    },
    {
      name: "holds a Proxy that throws",
      events: [{ ...custom, bad: new Proxy({}, { get: boom, ownKeys: boom }) }],
      replayed: [custom],
      warns: true,
    },
    {
      name: "holds a revoked Proxy",
      events: [{ ...custom, bad: revoked() }],
      replayed: [custom],
      warns: true,
    },
    {
      name: "holds NaN and Infinity",
      events: [{ ...custom, value: [Number.NaN, -Infinity, -0] }],
      replayed: [{ ...custom, value: [null, null, 0] }],
      warns: false,
    },
    {
      name: "holds functions, symbols and undefined",
      events: [{ ...custom, f: boom, s: Symbol("s"), u: undefined }],
      replayed: [custom],
      warns: false,
    },
    {
      name: "is 100 000 levels deep",
      events: [{ ...custom, value: nested(100_000), after: 1 }],
      replayed: [expect.objectContaining({ name: "n", after: 1 })],
      warns: true,
    },
    {
      name: "is 2000 levels deep",
      events: [{ ...custom, value: nested(2000) }],
      replayed: [{ ...custom, value: nested(2000) }],
      warns: false,
    },
    {
      name: "is a state 100 000 levels deep",
      events: [{ type: "STATE_SNAPSHOT", snapshot: { deep: nested(100_000), after: 1 } }],
      replayed: [expect.objectContaining({ type: "STATE_SNAPSHOT" })],
      warns: true,
    },
    {
      name: "holds an array of a million numbers",
      events: [{ ...custom, value: Array.from({ length: 1_000_000 }, (_, at) => at) }],
      replayed: [{ ...custom, value: Array.from({ length: 1_000_000 }, (_, at) => at) }],
      warns: false,
    },
  ];

  function circular(): unknown {
    const response: Record<string, unknown> = { name: "response" };
    response.self = response;
    return response;
  }

  function revoked(): unknown {
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    return proxy;
  }

  it.each(odd)("$name is passed on, and the store loses only that event", async (example) => {
    const { live, replay, warnings } = await storeAndReplay(example.events);
    // Subscribers get the same objects.
    for (const [at, event] of example.events.entries()) expect(live[at + 1] === event).toBe(true);
    expect(replay.slice(1, -1)).toEqual(example.replayed);
    expect(warnings.length > 0, JSON.stringify(warnings)).toBe(example.warns);
  });

  it("is no event, or cannot be read at all, fails its run as an agent failure", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    const unreadable = new Proxy({ type: "CUSTOM" }, { get: boom });
    for (const [at, event] of [null, undefined, unreadable].entries()) {
      const agent = emitting([...text(`m${at}`, "before"), event as unknown as ScriptEvent]);
      const live = await runToEnd(runner, "t", `r${at}`, agent);
      expect(typesOf(live).slice(-2)).toEqual(["TEXT_MESSAGE_END", "RUN_ERROR"]);
      expect(live.at(-1)).toMatchObject({ code: "INCOMPLETE_STREAM" });
    }
    const replay = await replayOf(runner, "t");
    expect(runIdsIn(replay)).toEqual(["r0", "r1", "r2"]);
    await verifyWithClients(replay);
  });
});
