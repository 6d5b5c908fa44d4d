import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { EventLike } from "../../src/events/event.ts";
import { SegmentBuilder } from "../../src/events/json/segment.ts";
import { orNull } from "../../src/events/shared/places.ts";
import {
  type Place,
  putBackEachEvent,
  putBackEvents,
  putBackInput,
} from "../../src/events/shared/put-back.ts";
import {
  slotHasMessages,
  type TakenOut,
  TakenOutOfRun,
  takeOutOfEvents,
  takeOutOfInput,
  takeOutOfText,
} from "../../src/events/shared/take-out.ts";
import { looseEvent } from "./random-runs.ts";

const LONG = "long 👩‍👩‍👧‍👦 ".repeat(100);

/** Something that may be long, and may have the names of what an object has anyway. */
const anyValue = fc.oneof(
  fc.constantFrom<unknown>("short", LONG, [], [LONG], { LONG }, null, 7, ["short"]),
  fc.constant(JSON.parse(`{"__proto__":"${LONG}","toJSON":1,"a":{"__proto__":[]}}`) as unknown),
);

const anyInput = fc.oneof(
  fc.constantFrom<unknown>(undefined, null, "text", [LONG]),
  fc.record(
    { messages: anyValue, tools: anyValue, threadId: anyValue, state: anyValue, "7": anyValue },
    { requiredKeys: [] },
  ),
  fc.constant(JSON.parse(`{"__proto__":"${LONG}","tools":["${LONG}"]}`) as unknown),
);

const anyEvent: fc.Arbitrary<EventLike> = fc.oneof(
  looseEvent,
  fc
    .tuple(anyInput, anyInput)
    .map(([input, list]) => ({ type: "RUN_STARTED", input, runId: "r", clientMessages: list })),
  anyValue.map((snapshot) => ({ type: "STATE_SNAPSHOT", snapshot, timestamp: 7 })),
  anyValue.map((messages) => ({ rawEvent: LONG, type: "MESSAGES_SNAPSHOT", messages })),
);

const anyRun = fc.array(anyEvent, { maxLength: 12 });

/** Places with the values written out. */
const placesOf = ({ values }: TakenOut): Place[] =>
  values.map((value) => {
    return [value.slot, value.index, "text" in value ? [value.text] : value.pieces];
  });

const noLogs = () => null;

const putBack = (taken: TakenOut) => putBackEvents(taken.rest, placesOf(taken), noLogs);

describe("values that are taken out of a run", () => {
  test("come back as they were, and leave JSON without them", () => {
    fc.assert(
      fc.property(anyRun, (events) => {
        const json = JSON.stringify(events);
        const stored = JSON.parse(json) as EventLike[];
        const taken = takeOutOfEvents(stored);
        expect(putBack(taken)).toBe(json);
        const rest = JSON.parse(taken.rest) as EventLike[];
        expect(rest.filter(({ type }) => type.endsWith("_SNAPSHOT")).map(lengthOf)).toEqual(
          stored.filter(isShortSnapshot).map(lengthOf),
        );
      }),
      { numRuns: 1000 },
    );
  });

  test("come back when they were taken out of the text of a segment", () => {
    fc.assert(
      fc.property(anyRun, (events) => {
        const builder = new SegmentBuilder({ rawEvents: true });
        for (const event of events) builder.push(event);
        const { large } = builder;
        const json = builder.take();
        const taken = takeOutOfText(json, large);
        expect(putBack(taken)).toBe(json);
        expect(taken).toEqual(takeOutOfEvents(JSON.parse(json) as EventLike[]));
      }),
      { numRuns: 1000 },
    );
  });

  test("come back with the parts of a long run, which leave its beginning and its end", () => {
    const pieces = fc.array(anyRun, { maxLength: 5 });
    fc.assert(
      fc.property(pieces, fc.integer({ min: 1, max: 5000 }), (runs, partLength) => {
        const stored = runs.map((events) => JSON.parse(JSON.stringify(events)) as EventLike[]);
        const taken = new TakenOutOfRun(partLength);
        for (const events of stored) taken.add(events, (json) => [json]);
        taken.add([{ type: "RUN_FINISHED" }], (json) => [json]);
        const whole = [...stored.flat(), { type: "RUN_FINISHED" }];
        const out = taken.finish();
        expect(putBack(out)).toBe(JSON.stringify(whole));
        const texts = putBackEachEvent(out.rest, placesOf(out), noLogs);
        expect([...texts]).toEqual(whole.map((event) => JSON.stringify(event)));
        const rest = JSON.parse(out.rest) as EventLike[];
        expect(rest.at(-1)).toEqual({ type: "RUN_FINISHED" });
        const starts = (events: readonly EventLike[]) =>
          events.filter(({ type }) => type === "RUN_STARTED").length;
        expect(starts(rest)).toBe(starts(whole));
      }),
      { numRuns: 1000 },
    );
  });

  test("come back into an input", () => {
    fc.assert(
      fc.property(anyInput, (input) => {
        const json = JSON.stringify(input ?? null);
        const taken = takeOutOfInput(json);
        expect(putBackInput(taken.rest, placesOf(taken), noLogs)).toBe(json);
      }),
    );
  });

  test("can be left out one by one", () => {
    const events = [
      { type: "RUN_STARTED", input: { tools: [LONG], messages: [{ id: "m" }, LONG] } },
      { type: "STATE_SNAPSHOT", snapshot: LONG },
      { type: "MESSAGES_SNAPSHOT", messages: [LONG] },
      { type: "RUN_FINISHED" },
    ];
    const taken = takeOutOfEvents(events);
    const wanted = placesOf(taken).filter(([slot]) => slotHasMessages(slot));
    const texts = putBackEachEvent(taken.rest, wanted, noLogs);
    const left = Array.from(texts, (json) => JSON.parse(json) as unknown);
    const [started, , ...others] = events;
    expect(left).toEqual([{ ...started, input: { ...started?.input, tools: [] } }, ...others]);
  });

  test("make the events unreadable where a part of a log is missing", () => {
    const missing: Place[] = [["STATE_SNAPSHOT", 0, [1, 0, 7]]];
    expect(orNull(() => putBackEvents("[]", missing, noLogs))).toBeNull();
    expect(putBackInput("{}", [["input.state", 0, [1, 0, 7]]], noLogs)).toBeNull();
  });
});

const lengthOf = (event: EventLike) => JSON.stringify(event).length;

const isShortSnapshot = (event: EventLike) =>
  event.type.endsWith("_SNAPSHOT") && (isOther(event) || lengthOf(event) < 1024);

const isOther = ({ type }: EventLike) => type !== "STATE_SNAPSHOT" && type !== "MESSAGES_SNAPSHOT";
