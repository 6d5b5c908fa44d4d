import "../support/leak-guard.ts";
import { expect, it } from "vitest";
import { EVERY_RESOURCE, withResource } from "../../src/index.ts";
import { withDatabase } from "../support/database-file.ts";
import { collect, openRunner, runToEnd, watch } from "../support/open-runner.ts";
import { answeringAgent, heldAgent, inputOf } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

it.each(["throw", "reject", "supersede", "enqueue"] as const)(
  "with %s, a run on the thread of another resource is refused at once, and does not execute",
  async (onConcurrentRun) => {
    const runner = openRunner({ dbPath: tempDatabase(), onConcurrentRun });
    const run = (resourceId: string, runId: string, agent = answeringAgent()) =>
      withResource(resourceId, () =>
        collect(runner.run({ threadId: "thread", agent, input: inputOf("thread", runId) })),
      );
    await run("ada", "first");
    const agent = answeringAgent();
    expect(await run("grace", "second", agent)).toMatchObject([
      { type: "RUN_ERROR", code: "THREAD_NOT_FOUND" },
    ]);
    expect(agent.inputs).toEqual([]);
    expect((await run("ada", "third")).at(-1)).toMatchObject({ type: "RUN_FINISHED" });
  },
);

it("to another resource, a thread is unknown to whatever would change it, also while it runs", async () => {
  const runner = openRunner({ dbPath: tempDatabase() });
  const agent = heldAgent();
  const run = withResource("ada", () =>
    watch(runner.run({ threadId: "thread", agent, input: inputOf("thread", "run") })),
  );
  await agent.halfway;

  const attempt = async () => {
    const { threads } = runner;
    for (const change of [
      () => threads.rename("thread", "mine"),
      () => threads.archive("thread"),
      () => threads.unarchive("thread"),
      () => threads.setMetadata("thread", {}),
      () => threads.fork("thread", { newThreadId: "fork" }),
      () => threads.delete("thread"),
      () => threads.erase({ threadId: "thread" }),
      () => threads.erase({ resourceId: "ada" }),
    ]) {
      const refused = withResource<Promise<unknown>>("grace", change);
      await expect(refused, String(change)).rejects.toMatchObject({ code: "THREAD_NOT_FOUND" });
    }
    expect(await withResource("grace", () => threads.clear())).toBe(0);
    expect(await withResource("grace", () => threads.get("thread"))).toBeNull();
  };

  await attempt();
  agent.release();
  await run.done;
  await attempt();
  expect(await withResource("ada", () => runner.threads.get("thread"))).toMatchObject({
    title: "text of question-run",
    archived: false,
    runs: 1,
  });
});

it("a thread that is being removed shows its runs to nobody, neither to its resource nor to others", async () => {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath });
  await withResource("ada", () => runToEnd(runner, "thread", "run", answeringAgent()));
  const seenBy = (resourceId: string | typeof EVERY_RESOURCE) =>
    withResource(resourceId, () => runner.threads.runs("thread"));
  expect((await seenBy("ada")).runs).toHaveLength(1);
  // As the removal of a long thread leaves it between two steps. Another process goes on with it.
  withDatabase(dbPath, (db) => {
    db.exec(`INSERT INTO unfinished_threads (thread_id, resource_id, up_to, is_fork, owner_id)
      SELECT 'thread', resource_id, 1, 0, instance_id FROM threads, runner_instances`);
    db.exec("DELETE FROM threads");
  });
  const nothing = { runs: [], nextCursor: null };
  expect(await runner.threads.runs("thread")).toEqual(nothing);
  for (const resourceId of ["ada", "grace", EVERY_RESOURCE] as const) {
    expect(await seenBy(resourceId)).toEqual(nothing);
  }
});
