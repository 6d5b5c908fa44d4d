import "../support/leak-guard.ts";
import fc from "fast-check";
import { expect, test } from "vitest";
import type { EventLike } from "../../src/events/event.ts";
import { type Conversation, reduceWithClients, verifyWithClients } from "../events/clients.ts";
import { interleavedRun } from "../events/random-runs.ts";
import { openRunner, runIdsIn, type Watched, watch } from "../support/open-runner.ts";
import { puppetAgent } from "../support/puppet-agent.ts";
import { inputOf, type ScriptEvent } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

/** The actions that happen before an event of the run. */
const moment = fc.record({
  flush: fc.boolean(),
  connect: fc.constantFrom(true, false, false),
  /** Lets everything proceed for a turn of the event loop or more. */
  settle: fc.boolean(),
});

const bearing = (event: EventLike, ids: object): ScriptEvent =>
  event.type === "RUN_STARTED" || event.type === "RUN_FINISHED"
    ? { ...event, ...ids }
    : { ...event };

/** Both clients' messages and state. Of a state that is null, zero, false or "", the oldest client decides. */
async function viewsOf(events: readonly EventLike[]): Promise<readonly Conversation[]> {
  const views = await reduceWithClients(events);
  return views.map(({ messages, state }) => ({ messages, state: state || views[0]?.state }));
}

test("for any run, followed from any moment, a client gets the same messages and state", async () => {
  const dbPath = tempDatabase();
  const owner = openRunner({ dbPath, lingerMs: 5 });
  const other = openRunner({ dbPath });
  await Promise.all([owner.ready(), other.ready()]);
  let runs = 0;
  let followed = 0;
  await fc.assert(
    fc.asyncProperty(
      interleavedRun,
      fc.infiniteStream(moment),
      fc.constantFrom("finishes", "breaks off", "fails"),
      async (script, moments, end) => {
        const threadId = `t${++runs}`;
        const ids = { threadId, runId: `r${runs}` };
        const agent = puppetAgent();
        const run = watch(owner.run({ threadId, agent, input: inputOf(threadId, ids.runId, []) }));
        await agent.started;
        const followers: Watched[] = [watch(other.connect({ threadId }))];
        for (const event of end === "finishes" ? script : script.slice(0, -1)) {
          const { flush, connect, settle } = moments.next().value;
          if (connect && followers.length < 5) followers.push(watch(other.connect({ threadId })));
          if (settle) await other.isRunning({ threadId });
          if (flush) await owner.flush();
          agent.emit(bearing(event, ids));
        }
        if (end === "fails") agent.fail(new Error("it broke"));
        else agent.finish();
        const expected = await viewsOf(await run.done);
        for (const follower of followers) {
          const events = await follower.done;
          await verifyWithClients(events);
          expect(runIdsIn(events)).toEqual([ids.runId]);
          expect(events.at(-1)?.type).toBe(run.events.at(-1)?.type);
          expect(await viewsOf(events)).toEqual(expected);
          followed++;
        }
      },
    ),
    { numRuns: 60 },
  );
  expect(followed).toBeGreaterThan(60);
});
