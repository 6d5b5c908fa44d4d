import "../support/leak-guard.ts";
import { expect, test } from "vitest";
import { openRunner, runToEnd } from "../support/open-runner.ts";
import { laterMillisecond } from "../support/poll.ts";
import { answeringAgent } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

test("a purge by number keeps the threads that another instance has used last", async () => {
  const dbPath = tempDatabase();
  const [one, other] = [openRunner({ dbPath }), openRunner({ dbPath })];
  await other.ready();
  const ids = Array.from({ length: 300 }, (_, at) => `t${at}`);
  const use = (threads: readonly string[], runId: string) =>
    Promise.all(threads.map((id) => runToEnd(one, id, `${runId}-${id}`, answeringAgent())));
  await use(ids, "first");
  await laterMillisecond();
  // So many that their places in lists are written later.
  const last = ids.slice(0, 100);
  await use(last, "last");
  expect(await other.purge({ maxThreads: 100 })).toMatchObject({ threads: 200, runs: 200 });
  const { threads } = await other.threads.list({ limit: 200 });
  expect(threads.map(({ id }) => id).sort()).toEqual(last.sort());
});
