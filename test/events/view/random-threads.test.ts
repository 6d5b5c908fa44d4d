import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { ThreadView, type View, viewOf } from "../../../src/events/view/thread-view.ts";
import { frozen } from "./frozen.ts";
import { LiveClient } from "./live-client.ts";
import { type RandomRun, randomThread } from "./random-threads.ts";
import { seed, threads } from "./seed.ts";

const timeout = 30_000 + 200 * threads;

afterAll(() => {
  expect({}).not.toHaveProperty("polluted");
});

function shownBy({ messages, state, pendingInterrupts }: View): View {
  return { messages, state, pendingInterrupts };
}

function storedAndRestored(view: ThreadView): ThreadView {
  const restored = ThreadView.restore(frozen(JSON.parse(JSON.stringify(view))));
  if (restored === undefined) throw new Error("not restored");
  return restored;
}

/** A client may hold one object in two places, where an id comes twice. JSON has two objects for it. */
function holdsOneTwice({ messages }: View): boolean {
  return new Set(messages).size < messages.length;
}

function eventsOf(runs: readonly RandomRun[]) {
  return runs.flatMap(({ events }) => events);
}

describe("for any thread", () => {
  test(
    "the view is what the client of its runs holds, after each of them",
    async () => {
      const property = fc.asyncProperty(randomThread.map(frozen), async (runs) => {
        const client = new LiveClient();
        let view = new ThreadView();
        for (const { asked, events, stored } of runs) {
          await client.run(asked, events);
          for (const event of events) view.apply(event);
          expect(shownBy(view)).toEqual(client.view);
          if (stored && !holdsOneTwice(client.view)) view = storedAndRestored(view);
          expect(shownBy(view)).toEqual(client.view);
        }
      });
      await fc.assert(property, { seed, numRuns: threads });
    },
    timeout,
  );

  test(
    "the messages are those of a client that gets all runs in one stream",
    async () => {
      const property = fc.asyncProperty(randomThread.map(frozen), async (runs) => {
        const client = new LiveClient();
        await client.run([], eventsOf(runs));
        expect(viewOf(eventsOf(runs)).messages).toEqual(client.view.messages);
      });
      await fc.assert(property, { seed, numRuns: threads / 4 });
    },
    timeout,
  );

  test(
    "a view that was stored after any event goes on as if it had not been",
    () => {
      const property = fc.property(randomThread.map(frozen), fc.nat(), (runs, at) => {
        const events = eventsOf(runs);
        const split = at % events.length;
        const view = viewOf(events.slice(0, split));
        fc.pre(!holdsOneTwice(view));
        const restored = storedAndRestored(view);
        for (const event of events.slice(split)) restored.apply(event);
        expect(restored.toJSON()).toEqual(viewOf(events).toJSON());
      });
      fc.assert(property, { seed, numRuns: threads / 4 });
    },
    timeout,
  );

  test(
    "what a view gave out stays as it was",
    () => {
      const property = fc.property(randomThread.map(frozen), fc.nat(), (runs, at) => {
        const view = new ThreadView();
        const events = eventsOf(runs);
        const split = at % events.length;
        for (const event of events.slice(0, split)) view.apply(event);
        const stored = view.toJSON();
        const text = JSON.stringify(stored);
        for (const event of events.slice(split)) view.apply(event);
        expect(JSON.stringify(stored)).toBe(text);
      });
      fc.assert(property, { seed, numRuns: threads / 4 });
    },
    timeout,
  );
});
