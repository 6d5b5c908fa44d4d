import "../support/leak-guard.ts";
import { setImmediate as nextTurn } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { BaseEvent } from "@ag-ui/core";
import type { Observable } from "rxjs";
import { expect, it, onTestFinished } from "vitest";
import {
  asReplayed,
  openRunner,
  replayOf,
  runIdsIn,
  runToEnd,
  spokenIn,
  watch,
} from "../support/open-runner.ts";
import { puppetAgent } from "../support/puppet-agent.ts";
import {
  answeringAgent,
  finished,
  inputOf,
  type ScriptEvent,
  started,
  text,
} from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const CROWD = 10_000;

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** The warnings of Node from now on, for example of too many listeners. */
function warnings(): string[] {
  const said: string[] = [];
  const listen = ({ message }: Error) => void said.push(message);
  process.on("warning", listen);
  onTestFinished(() => void process.off("warning", listen));
  return said;
}

/** Many subscribers. The test keeps only the number of those that got what was expected. */
class Crowd {
  readonly #expected: () => readonly string[];
  readonly #refs: WeakRef<object>[] = [];
  #present = 0;
  #begun = 0;
  readonly #got: (readonly string[])[] = [];
  readonly #allBegun = Promise.withResolvers<void>();
  readonly #allDone = Promise.withResolvers<void>();

  /** `expected`: the JSON of the events that each has to get. */
  constructor(expected: () => readonly string[]) {
    this.#expected = expected;
  }

  join(stream: Observable<BaseEvent>): void {
    const got: string[] = [];
    this.#present++;
    const observer = {
      next: (event: BaseEvent) => {
        if (got.push(jsonOf(event)) === 1 && ++this.#begun === CROWD) this.#allBegun.resolve();
      },
      error: this.#allDone.reject,
      complete: () => {
        this.#got.push(got);
        if (--this.#present === 0) this.#allDone.resolve();
      },
    };
    this.#refs.push(
      new WeakRef(observer),
      new WeakRef(stream),
      new WeakRef(stream.subscribe(observer)),
    );
  }

  /** Resolves when each has got its first event. */
  get begun(): Promise<void> {
    return this.#allBegun.promise;
  }

  /**
   * Resolves when all have completed, with the number of subscribers that got exactly the expected
   * events.
   */
  async done(): Promise<number> {
    await this.#allDone.promise;
    const expected = this.#expected();
    const isWhole = (got: readonly string[]) =>
      got.length === expected.length && got.every((json, at) => json === expected[at]);
    return this.#got.filter(isWhole).length;
  }

  /** How many of the subscriptions are still in memory. */
  async held(): Promise<number> {
    const alive = () => this.#refs.filter((ref) => ref.deref() !== undefined).length;
    for (let round = 0; round < 20 && alive() > 0; round++) {
      await nextTurn();
      collectGarbage();
    }
    return alive();
  }
}

const known = new WeakMap<object, string>();

/** One string for all subscribers that get the same object. */
function jsonOf(event: object): string {
  const json = known.get(event) ?? JSON.stringify(event);
  known.set(event, json);
  return json;
}

const words = (runId: string): ScriptEvent[] => [...text(`m-${runId}`, "one two three")];

it("10 000 clients that connect to one live run all get the whole run, and leave no memory in use", async () => {
  const said = warnings();
  const runner = openRunner({ dbPath: tempDatabase() });
  await runToEnd(runner, "t", "before", answeringAgent());
  const expected = (await replayOf(runner, "t")).map(jsonOf);
  const agent = puppetAgent();
  const run = runner.run({ threadId: "t", agent, input: inputOf("t", "r") });
  run.subscribe((event) => {
    for (const shown of asReplayed([event])) expected.push(jsonOf(shown));
  });
  await agent.started;
  agent.emit(started(inputOf("t", "r")), ...words("r"));
  const crowd = new Crowd(() => expected);
  for (let at = 0; at < CROWD; at++) crowd.join(runner.connect({ threadId: "t" }));
  await crowd.begun;
  agent.emit(...words("more"), finished(inputOf("t", "r")));
  agent.finish();
  expect(await crowd.done()).toBe(CROWD);
  expect(await crowd.held()).toBeLessThan(10);
  expect(runner.stats()).toMatchObject({ activeRuns: 0, queueDepth: 0, queueBytes: 0 });
  expect(said).toEqual([]);
});

it("10 000 clients that connect to idle threads all get their history, and leave no memory in use", async () => {
  const said = warnings();
  const runner = openRunner({ dbPath: tempDatabase(), durability: "normal" });
  const threads = Array.from({ length: 100 }, (_, at) => `thread-${at}`);
  const expected = new Map<string, readonly string[]>();
  for (const threadId of threads) {
    await runToEnd(runner, threadId, `run of ${threadId}`, answeringAgent());
    expected.set(threadId, (await replayOf(runner, threadId)).map(jsonOf));
  }
  const crowds = threads.map(
    (threadId) => [threadId, new Crowd(() => expected.get(threadId) ?? [])] as const,
  );
  for (let at = 0; at < CROWD / threads.length; at++) {
    for (const [threadId, crowd] of crowds) crowd.join(runner.connect({ threadId }));
  }
  for (const [, crowd] of crowds) expect(await crowd.done()).toBe(CROWD / threads.length);
  for (const [, crowd] of crowds) expect(await crowd.held()).toBeLessThan(10);
  expect(said).toEqual([]);
});

it("10 000 clients that follow one run of another runner all get the whole run, and leave no memory in use", async () => {
  const said = warnings();
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath });
  await runToEnd(runner, "t", "before", answeringAgent());
  const agent = puppetAgent();
  const run = runner.run({ threadId: "t", agent, input: inputOf("t", "r") });
  run.subscribe();
  await agent.started;
  agent.emit(started(inputOf("t", "r")), ...words("r"));
  await runner.flush();
  const other = openRunner({ dbPath });
  // Events that reached the file together are merged. All followers get the same events.
  const expected: string[] = [];
  const first = watch(other.connect({ threadId: "t" }));
  const crowd = new Crowd(() => expected);
  for (let at = 0; at < CROWD; at++) crowd.join(other.connect({ threadId: "t" }));
  await crowd.begun;
  agent.emit(...words("more"));
  await runner.flush();
  await first.until(({ messageId }) => messageId === "m-more");
  agent.emit(...words("last"), finished(inputOf("t", "r")));
  agent.finish();
  expected.push(...(await first.done).map(jsonOf));
  expect(runIdsIn(first.events)).toEqual(["before", "r"]);
  expect(spokenIn(first.events)).toBe(`answer to before${"one two three".repeat(3)}`);
  expect(await crowd.done()).toBe(CROWD);
  expect(await crowd.held()).toBeLessThan(10);
  expect(said).toEqual([]);
});
