import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LiveParts } from "../../src/events/shared/live-parts.ts";
import {
  joinPieces,
  type Piece,
  packPieces,
  type Span,
  unpackPieces,
} from "../../src/events/shared/pieces.ts";
import { diff } from "../../src/events/shared/text-diff.ts";
import { lengthOf, type StoredValue, ThreadValues } from "../../src/events/shared/thread-values.ts";

/** Text in which every kind of character stands next to every other. */
const anyText = fc.oneof(
  fc.string({ unit: "binary", maxLength: 40 }),
  fc.constantFrom(
    "👩‍👩‍👧‍👦",
    "\ud83d\udc69",
    "\ud83d\udc68",
    "\ud83d",
    "\udc69",
    "",
    '"',
    "\\",
    ",",
    "\0",
    "é",
  ),
  fc.string({ minLength: 300, maxLength: 600 }),
);

const anyKey = fc.oneof(anyText, fc.constantFrom("__proto__", "toJSON", "constructor", "7", "-1"));

const anyMessage = fc.oneof(
  anyText,
  fc.record({ id: fc.uuid(), role: fc.constantFrom("user", "assistant"), content: anyText }),
  fc.array(fc.tuple(anyKey, fc.oneof(anyText, fc.double(), fc.constant(null)))).map(objectOf),
);

/** An object with these fields of its own, whatever their names are. */
function objectOf(fields: readonly (readonly [string, unknown])[]): object {
  const object = Object.create(null) as object;
  for (const [key, value] of fields) {
    Object.defineProperty(object, key, { value, enumerable: true, configurable: true });
  }
  return object;
}

/** What happens to a thread between two runs. */
type Step =
  | { readonly do: "append" | "prepend"; readonly items: readonly unknown[] }
  | { readonly do: "edit" | "remove"; readonly at: number; readonly item: unknown }
  | { readonly do: "replace"; readonly items: readonly unknown[] }
  | { readonly do: "restart" | "nothing" }
  | { readonly do: "purge"; readonly keep: number };

const items = fc.array(anyMessage, { maxLength: 4 });

const anyStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant("append" as const), items }) },
  fc.record({ do: fc.constantFrom("prepend" as const, "replace" as const), items }),
  fc.record({
    do: fc.constantFrom("edit" as const, "remove" as const),
    at: fc.nat(),
    item: anyMessage,
  }),
  fc.record({ do: fc.constantFrom("restart" as const, "nothing" as const) }),
  fc.record({ do: fc.constant("purge" as const), keep: fc.nat({ max: 6 }) }),
);

function applied(list: readonly unknown[], step: Step): unknown[] {
  switch (step.do) {
    case "append":
      return [...list, ...step.items];
    case "prepend":
      return [...step.items, ...list];
    case "replace":
      return [...step.items];
    case "edit":
      return list.length === 0 ? [] : list.with(step.at % list.length, step.item);
    case "remove":
      return list.toSpliced(step.at % (list.length + 1), 1);
    default:
      return [...list];
  }
}

/** Logs in memory, and the values of runs that have pieces of them. */
class Logs {
  readonly #chunks = new Map<number, Map<number, string>>();
  readonly runs: {
    readonly slot: string;
    readonly text: string;
    readonly pieces: readonly Piece[];
  }[] = [];
  #lastLog = 0;

  readonly openLog = () => ++this.#lastLog;

  put(values: ThreadValues, slot: string, text: string): void {
    const pieces = unpackPieces(JSON.parse(JSON.stringify(packPieces(values.put(slot, text)))));
    for (const { log, at, text: chunk } of values.takeChunks()) {
      const chunks = this.#chunks.get(log) ?? new Map<number, string>();
      expect(chunks.has(at)).toBe(false);
      // As SQLite keeps it.
      this.#chunks.set(log, chunks.set(at, Buffer.from(chunk, "utf8").toString("utf8")));
    }
    this.runs.push({ slot, text, pieces });
  }

  /** What a process that begins finds. */
  cold(): ThreadValues {
    const latest = new Map<string, StoredValue>(
      this.runs.map(({ slot, text, pieces }) => [slot, { text, pieces, cost: 0 }]),
    );
    const logEnds = new Map<number, number>();
    for (const [log, chunks] of this.#chunks) {
      for (const [at, text] of chunks) {
        logEnds.set(log, Math.max(logEnds.get(log) ?? 0, at + text.length));
      }
    }
    return new ThreadValues({ latest, logEnds }, this.openLog);
  }

  /** Forgets all runs but the last `keep`, and sweeps. */
  purge(keep: number): void {
    this.runs.splice(0, Math.max(0, this.runs.length - keep));
    const live = new LiveParts();
    for (const { pieces } of this.runs) {
      for (const piece of pieces) if (typeof piece === "object") live.add(piece);
    }
    for (const [log, chunks] of this.#chunks) {
      for (const [at, text] of [...chunks]) {
        chunks.delete(at);
        for (const { from, to } of live.of(log, at, text.length)) {
          chunks.set(at + from, text.slice(from, to));
        }
      }
      if (chunks.size === 0) this.#chunks.delete(log);
    }
  }

  /** UTF-16 units in the logs. */
  get size(): number {
    let size = 0;
    for (const chunks of this.#chunks.values())
      for (const text of chunks.values()) size += text.length;
    return size;
  }

  expectReadable(): void {
    for (const { text, pieces } of this.runs) expect(joinPieces(pieces, this.#read)).toBe(text);
  }

  readonly #read = ({ log, from, length }: Span): string | null => {
    const chunks = [...(this.#chunks.get(log) ?? [])].sort(([a], [b]) => a - b);
    let done = from;
    let read = "";
    for (const [at, text] of chunks) {
      if (at > done || at + text.length <= done) continue;
      const part = text.slice(done - at, from + length - at);
      read += part;
      done += part.length;
    }
    return done === from + length ? read : null;
  };
}

const SLOTS = ["MESSAGES_SNAPSHOT", "STATE_SNAPSHOT", "input.state", "input.messages"] as const;

/** The list as it stands in a value of a slot. */
function textOf(slot: string, list: readonly unknown[], step: number): string {
  if (slot === "input.messages") return JSON.stringify(list);
  const state = { step, messages: list, done: step % 3 === 0, copy: step % 2 === 0 ? list : [] };
  if (slot === "input.state") return JSON.stringify(state);
  const said = slot === "STATE_SNAPSHOT" ? { snapshot: state } : { messages: list };
  return JSON.stringify({ type: slot, ...said, timestamp: step });
}

describe("values that come again", () => {
  test("every value of a random thread can be read, after restarts and purges too", () => {
    const anyThread = fc.array(fc.tuple(fc.constantFrom(...SLOTS), anyStep), {
      minLength: 1,
      maxLength: 40,
    });
    fc.assert(
      fc.property(anyThread, (steps) => {
        const logs = new Logs();
        let values = logs.cold();
        let list: unknown[] = [];
        for (const [at, [slot, step]] of steps.entries()) {
          list = applied(list, step);
          if (step.do === "purge") logs.purge(step.keep);
          if (step.do === "restart" || step.do === "purge") values = logs.cold();
          logs.put(values, slot, textOf(slot, list, at));
          logs.expectReadable();
        }
      }),
      { numRuns: 300 },
    );
  });

  test("the edits of two texts make the second of the first, and cut no surrogate pair", () => {
    const anyJson = fc.array(anyMessage).map((list) => JSON.stringify(list));
    fc.assert(
      fc.property(anyJson, anyJson, fc.nat(), fc.nat(), (a, b, from, to) => {
        // Two texts that have much in common, and each in another order.
        const base = `{"a":${a},"b":${b}}`;
        const text = `{"b":${b},"a":${a.slice(0, from % a.length)}","c":${b.slice(0, to % b.length)}`;
        if (!text.isWellFormed()) return;
        const parts = diff(base, text).map((edit) =>
          typeof edit === "string" ? edit : base.slice(edit.from, edit.from + edit.length),
        );
        expect(parts.join("")).toBe(text);
        expect(parts.every((part) => part.isWellFormed())).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  test("a sweep leaves nothing of values that no run has any more", () => {
    const logs = new Logs();
    const values = logs.cold();
    for (let at = 0; at < 20; at++) {
      logs.put(
        values,
        "STATE_SNAPSHOT",
        JSON.stringify([`${at}`.repeat(2000), "stays".repeat(500)]),
      );
    }
    expect(logs.size).toBeGreaterThan(20 * 2000);
    logs.purge(1);
    logs.expectReadable();
    expect(logs.size).toBeLessThan(2 * 4500);
    logs.purge(0);
    expect(logs.size).toBe(0);
  });
});

describe("how many pieces a value has", () => {
  const message = (at: number) => ({
    id: `id-${at}`,
    content: `what was said in turn ${at} `.repeat(9),
  });
  const messages = (count: number) => Array.from({ length: count }, (_, at) => message(at));

  /** The pieces of the last value, and the units of text that were stored, after `turns` turns. */
  function stored(turns: number, stateOf: (turn: number) => unknown) {
    const logs = new Logs();
    const values = logs.cold();
    for (let turn = 1; turn <= turns; turn++) {
      logs.put(values, "STATE_SNAPSHOT", JSON.stringify(stateOf(turn)));
    }
    logs.expectReadable();
    const last = logs.runs.at(-1);
    const places = logs.runs.reduce((sum, { pieces }) => sum + lengthOf(pieces), 0);
    const length = last?.text.length ?? 0;
    return { pieces: last?.pieces.length ?? 0, size: logs.size + places, length };
  }

  test.each<[string, (turn: number) => unknown]>([
    ["a list that grows", (turn) => messages(turn)],
    ["a counter before it", (turn) => ({ step: turn, messages: messages(turn) })],
    ["a counter behind it", (turn) => ({ messages: messages(turn), step: turn })],
    ["two lists that grow", (turn) => ({ step: turn, a: messages(turn), b: messages(turn), turn })],
    [
      "a list whose old messages fall away",
      (turn) => ({ step: turn, messages: messages(turn).slice(-30) }),
    ],
  ])("does not grow with the turns: %s", (_name, stateOf) => {
    const few = stored(100, stateOf);
    const many = stored(200, stateOf);
    expect(many.pieces).toBeLessThanOrEqual(few.pieces + 1);
    expect(many.size).toBeLessThan(2.5 * few.size);
  });

  test.each<[string, (list: readonly object[], turn: number) => unknown]>([
    [
      "one more place in each turn",
      (list, turn) => list.map((item, at) => (at < turn ? { ...item, edited: at } : item)),
    ],
    [
      "a hundred places in each turn",
      (list, turn) => list.map((item, at) => (at % 4 === 0 ? { ...item, edited: turn } : item)),
    ],
  ])(
    "may grow where values change in many places, and costs little still: %s",
    (_name, stateOf) => {
      const list = messages(400);
      const { size, length } = stored(400, (turn) => stateOf(list, turn));
      // Of 400 values as long as the last one.
      expect(size).toBeLessThan((400 * length) / 12);
    },
  );
});

test("an attachment is stored once, in whatever value and notation it comes", () => {
  const logs = new Logs();
  const values = logs.cold();
  const data = Buffer.from(Array.from({ length: 30_000 }, (_, at) => (at * at) % 251)).toString(
    "base64",
  );
  const image = { type: "image", source: { type: "data", value: data } };
  const url = { type: "image_url", image_url: { url: `data:image/png;base64,${data}` } };
  logs.put(values, "input.messages", JSON.stringify([{ id: "1", content: [image] }]));
  logs.put(values, "MESSAGES_SNAPSHOT", JSON.stringify({ messages: [{ content: [image] }] }));
  logs.put(
    values,
    "STATE_SNAPSHOT",
    JSON.stringify({ snapshot: { messages: [{ content: [url] }] } }),
  );
  logs.put(logs.cold(), "input.context", JSON.stringify([{ value: data }]));
  logs.expectReadable();
  expect(logs.size).toBeLessThan(1.1 * data.length);
});
