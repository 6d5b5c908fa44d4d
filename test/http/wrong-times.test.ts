import "../support/leak-guard.ts";
import { expect, test } from "vitest";
import { withResource, withThreads } from "../../src/index.ts";
import { withDatabase } from "../support/database-file.ts";
import { openRunner, runToEnd } from "../support/open-runner.ts";
import { answeringAgent } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

test("a thread whose time is none costs its user no list", async () => {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath });
  await withResource("ann", async () => {
    for (const id of ["t", "u"]) await runToEnd(runner, id, `r-${id}`, answeringAgent());
  });
  withDatabase(dbPath, (db) => {
    db.exec("UPDATE threads SET updated_at = 8700000000000000 WHERE thread_id = 't'");
    db.exec("UPDATE agent_runs SET created_at = 'yesterday' WHERE thread_id = 'u'");
  });
  const identify = () => ({ resourceId: "ann" });
  const handler = withThreads(async () => new Response(null), { runner, identify });
  const response = await handler(new Request("http://localhost/api/threads?agentId="));
  expect(response.status).toBe(200);
  const { threads } = (await response.json()) as { threads: { id: string; updatedAt: string }[] };
  expect(threads.map(({ id }) => id).toSorted()).toEqual(["t", "u"]);
  for (const { updatedAt } of threads) expect(new Date(updatedAt).toISOString()).toBe(updatedAt);
});
