import "../support/leak-guard.ts";
import { describe, expect, test } from "vitest";
import { asReplayed, openRunner, replayOf, watch } from "../support/open-runner.ts";
import { puppetAgent } from "../support/puppet-agent.ts";
import { finished, inputOf, type ScriptEvent, started } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const ids = { threadId: "t", runId: "r" };

async function running() {
  const runner = openRunner({ dbPath: tempDatabase() });
  const agent = puppetAgent();
  const input = inputOf("t", "r");
  const run = runner.run({ threadId: "t", agent, input });
  await agent.started;
  return { runner, agent, run, input };
}

/** Emits the same object several times, changed each time. */
function* reusing(): Generator<ScriptEvent> {
  const flat = { type: "TEXT_MESSAGE_CONTENT", messageId: "m", delta: "" };
  yield { type: "TEXT_MESSAGE_START", messageId: "m", role: "assistant" };
  // Enough events that those before the last thousand are packed.
  for (let at = 0; at < 2500; at++) {
    flat.delta = `${at} `;
    yield flat;
  }
  yield { type: "TEXT_MESSAGE_END", messageId: "m" };
  const patch = { op: "add", path: "/count", value: 0 };
  const state = { type: "STATE_SNAPSHOT", snapshot: { list: [{ n: 0 }], patch }, delta: [patch] };
  for (let at = 0; at < 3; at++) {
    state.snapshot.list.push({ n: at });
    if (state.snapshot.list[0]) state.snapshot.list[0].n = at;
    patch.value = at;
    yield state;
  }
  const raw = { type: "CUSTOM", name: "n", value: 1, rawEvent: { at: new Date(0), n: { n: 0 } } };
  for (let at = 0; at < 3; at++) {
    raw.rawEvent.at = new Date(at);
    raw.rawEvent.n.n = at;
    yield raw;
  }
}

describe("an event is shown as it was emitted, even if its object is changed later", () => {
  test("to late subscribers, to connect during the run, and from the store", async () => {
    const { runner, agent, run } = await running();
    const live: ScriptEvent[] = [];
    const told: string[] = [];
    run.subscribe((event) => {
      live.push(event as unknown as ScriptEvent);
      told.push(JSON.stringify(event));
    });
    agent.emit(started(ids));
    const emitted: ScriptEvent[] = [];
    const expected = [told[0]];
    for (const event of reusing()) {
      emitted.push(event);
      expected.push(JSON.stringify(event));
      agent.emit(event);
    }
    // The live subscriber got the same objects, in the same tick.
    expect(told).toEqual(expected);
    for (const [at, event] of emitted.entries()) expect(live[at + 1] === event).toBe(true);

    const late = watch(run);
    const json = (events: readonly ScriptEvent[]) => events.map((event) => JSON.stringify(event));
    expect(json(late.events)).toEqual(expected);
    const follower = watch(runner.connect({ threadId: "t" }));
    await follower.until(({ type }) => type === "CUSTOM");
    agent.emit(finished(ids));
    agent.finish();
    expect(json(await follower.done).slice(1, -1)).toEqual(expected.slice(1));
    await late.done;
    const words = Array.from({ length: 2500 }, (_, at) => `${at} `).join("");
    const stored = await replayOf(runner, "t");
    expect(stored.find(({ type }) => type === "TEXT_MESSAGE_CONTENT")?.delta).toBe(words);
  });

  test("a subscriber that changes its events does not affect later subscribers", async () => {
    const { runner, agent, run } = await running();
    const spoil = (event: object) => {
      const { value } = event as { value?: { list: number[] } };
      value?.list.push(2);
      Object.assign(event, { name: "spoiled" });
    };
    run.subscribe(spoil);
    const value = { list: [1] };
    agent.emit(started(ids), { type: "CUSTOM", name: "n", value });
    const custom = { type: "CUSTOM", name: "n", value: { list: [1] } };
    run.subscribe(spoil);
    expect(watch(run).events[1]).toEqual(custom);
    const connected = watch(runner.connect({ threadId: "t" }));
    await connected.until(({ type }) => type === "CUSTOM");
    agent.emit(finished(ids));
    agent.finish();
    expect((await connected.done)[1]).toEqual(custom);
    expect((await replayOf(runner, "t"))[1]).toEqual(custom);
  });

  test("an agent that changes its input after it began does not affect the run", async () => {
    const { runner, agent, run, input } = await running();
    input.runId = "another";
    input.messages.push({ id: "x", role: "user", content: "never asked" });
    Object.assign(input, { state: { changed: true } });
    agent.emit(started(ids));
    const [first] = watch(run).events;
    expect(first?.input).toEqual(inputOf("t", "r"));
    agent.finish();
    const events = await watch(run).done;
    expect(events.at(-1)).toMatchObject({ type: "RUN_ERROR" });
    const [stored] = await replayOf(runner, "t");
    const [shown] = asReplayed([{ type: "RUN_STARTED", input: inputOf("t", "r") }]);
    expect(stored?.input).toEqual(shown?.input);
  });
});
