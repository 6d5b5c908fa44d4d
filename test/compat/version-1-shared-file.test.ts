import "../support/leak-guard.ts";
import type { Message } from "@ag-ui/core";
import { describe, expect, test } from "vitest";
import { verifyWithClients } from "../events/clients.ts";
import { version1Files } from "../fixtures/sources.ts";
import { eventsOf, withDatabase } from "../support/database-file.ts";
import {
  collect,
  openRunner,
  replayOf,
  runIdsIn,
  runToEnd,
  spokenIn,
} from "../support/open-runner.ts";
import {
  answeringAgent,
  finished,
  inputOf,
  scriptedAgent,
  started,
  text,
} from "../support/scripted-agent.ts";
import { expectTrueRunCounts, Version1 } from "../support/version-1.ts";

describe.each(version1Files)(
  "version 1 and this version on one file, $name",
  ({ copy: copyOfVersion1 }) => {
    test("version 1 reads old and new runs by their parents", async () => {
      const dbPath = copyOfVersion1();
      const runner = openRunner({ dbPath });
      for (const runId of ["new-1", "new-2"]) {
        await runToEnd(runner, "stopped-then-continued", runId, answeringAgent());
        await runToEnd(runner, "a new thread", `${runId} there`, answeringAgent());
      }
      const read = (threadId: string) =>
        withDatabase(dbPath, (db) => new Version1(db).chain(threadId).map((row) => row.run_id));
      expect(read("stopped-then-continued")).toEqual([
        "stopped-then-continued-run-13",
        "stopped-then-continued-run-14",
        "new-1",
        "new-2",
      ]);
      expect(read("a new thread")).toEqual(["new-1 there", "new-2 there"]);
      expect(read("long")).toHaveLength(200);
      const rows = withDatabase(dbPath, (db) => new Version1(db).chain("a new thread"));
      expect(spokenIn(rows.flatMap(eventsOf))).toBe("answer to new-1 thereanswer to new-2 there");
    });

    test("version 1 stores runs between those of this version, and both see all runs", async () => {
      const dbPath = copyOfVersion1();
      const runner = openRunner({ dbPath });
      const threadId = "getting-started";
      await runToEnd(runner, threadId, "ours-1", answeringAgent());
      withDatabase(dbPath, (db) => new Version1(db).storeRun(threadId, "theirs"));
      expectTrueRunCounts(dbPath);
      await runToEnd(runner, threadId, "ours-2", answeringAgent());
      const replay = await replayOf(runner, threadId);
      expect(runIdsIn(replay).slice(2)).toEqual(["ours-1", "theirs", "ours-2"]);
      await verifyWithClients(replay);
      withDatabase(dbPath, (db) => {
        const chain = new Version1(db).chain(threadId).map((row) => row.run_id);
        expect(chain.slice(2)).toEqual(["ours-1", "theirs", "ours-2"]);
      });
      expectTrueRunCounts(dbPath);
    });

    test("runs that version 1 stores and purges change which messages count as seen", async () => {
      const dbPath = copyOfVersion1();
      const runner = openRunner({ dbPath });
      const threadId = "purged";
      /** Which of these messages count as new for a run on the thread. */
      async function newOf(runId: string, ...messageIds: string[]): Promise<string[]> {
        const input = inputOf(threadId, runId, messageIds);
        const [first] = await collect(runner.run({ threadId, agent: answeringAgent(), input }));
        const { messages } = (first as unknown as { input: { messages: Message[] } }).input;
        return messages.map(({ id }) => id);
      }

      expect(await newOf("ours-1", "pu1", "pu2", "pa2", "new-1")).toEqual(["pu1", "new-1"]);
      withDatabase(dbPath, (db) => new Version1(db).storeRun(threadId, "theirs"));
      const ofTheirs = ["question-theirs", "answer-theirs"];
      expect(await newOf("ours-2", "pu2", ...ofTheirs, "new-2")).toEqual(["new-2"]);
      withDatabase(dbPath, (db) => {
        const cutoff = db
          .prepare<[], number>("SELECT created_at FROM agent_runs WHERE run_id = 'purged-run-222'")
          .pluck()
          .get();
        expect(new Version1(db).purgeBefore(cutoff ?? 0)).toBeGreaterThan(0);
      });
      expectTrueRunCounts(dbPath);
      expect(await newOf("ours-3", "pu1", "pu2", "pa2", "pu3", ...ofTheirs, "new-1")).toEqual([
        "pu2",
        "pa2",
      ]);
      expect(runIdsIn(await replayOf(runner, threadId))).toEqual([
        "purged-run-222",
        "purged-run-223",
        "purged-run-224",
        "ours-1",
        "theirs",
        "ours-2",
        "ours-3",
      ]);
      expectTrueRunCounts(dbPath);
    });

    test("a purge by version 1 hides no run of this version from version 1", async () => {
      const dbPath = copyOfVersion1();
      const runner = openRunner({ dbPath });
      const threadId = "getting-started";
      for (const runId of ["ours-1", "ours-2", "ours-3"]) {
        await runToEnd(runner, threadId, runId, answeringAgent());
      }
      withDatabase(dbPath, (db) => {
        const version1 = new Version1(db);
        db.exec("UPDATE agent_runs SET created_at = created_at - 1000 WHERE run_id = 'ours-1'");
        const row = version1.chain(threadId).find(({ run_id }) => run_id === "ours-2");
        expect(version1.purgeBefore(row?.created_at ?? 0)).toBeGreaterThan(1);
        const left = version1.chain(threadId).map(({ run_id }) => run_id);
        expect(left).toEqual(["ours-2", "ours-3"]);
      });
      expect(runIdsIn(await replayOf(runner, threadId))).toEqual(["ours-2", "ours-3"]);
      expectTrueRunCounts(dbPath);
    });

    test("the id of a version 1 run may be used again, and version 1 reads and purges both runs", async () => {
      const dbPath = copyOfVersion1();
      const runner = openRunner({ dbPath });
      const threadId = "getting-started";
      const [theirs] = runIdsIn(await replayOf(runner, threadId)) as string[];
      const runId = theirs ?? "";
      const agent = () =>
        scriptedAgent(function* ({ input }) {
          yield started(input);
          yield* text(`again on ${input.threadId}`, "again");
          yield finished(input);
        });
      for (const thread of [threadId, "another thread", threadId]) {
        await runToEnd(runner, thread, runId, agent());
      }
      expect(runIdsIn(await replayOf(runner, threadId)).filter((id) => id === runId)).toHaveLength(
        3,
      );
      expect(runIdsIn(await replayOf(runner, "another thread"))).toEqual([runId]);
      await verifyWithClients(await replayOf(runner, threadId));
      withDatabase(dbPath, (db) => {
        const version1 = new Version1(db);
        const rows = version1.chain(threadId);
        expect(rows.slice(-2).map((row) => spokenIn(eventsOf(row)))).toEqual(["again", "again"]);
        expect(new Set(rows.map((row) => row.run_id)).size).toBe(rows.length);
        // Now only the last run of the thread is left.
        const last = rows.at(-1);
        db.prepare("UPDATE agent_runs SET created_at = created_at + 1000 WHERE id = ?").run(
          last?.id,
        );
        expect(version1.purgeBefore((last?.created_at ?? 0) + 1000)).toBeGreaterThan(3);
        expect(version1.chain(threadId).map((row) => row.id)).toEqual([last?.id]);
      });
      expectTrueRunCounts(dbPath);
      expect(runIdsIn(await replayOf(runner, threadId))).toEqual([runId]);
      // Purged messages are new again, the remaining ones are not.
      const input = inputOf(threadId, runId, ["question-1", `again on ${threadId}`]);
      const [first] = await collect(runner.run({ threadId, agent: agent(), input }));
      expect(first).toMatchObject({ input: { messages: [{ id: "question-1" }] } });
      expectTrueRunCounts(dbPath);
    });

    test("a thread that version 1 purged completely can be used again", async () => {
      const dbPath = copyOfVersion1();
      const runner = openRunner({ dbPath });
      await runToEnd(runner, "purged", "before", answeringAgent());
      withDatabase(dbPath, (db) => new Version1(db).purgeBefore(Date.now() * 2));
      expectTrueRunCounts(dbPath);
      expect(await replayOf(runner, "purged")).toEqual([]);
      const [first] = await collect(
        runner.run({
          threadId: "purged",
          agent: answeringAgent(),
          input: inputOf("purged", "again", ["pu2", "pu3"]),
        }),
      );
      expect(first).toMatchObject({ input: { messages: [{ id: "pu2" }, { id: "pu3" }] } });
      expectTrueRunCounts(dbPath);
    });

    test("a thread with an executing version 1 run is refused until that run is over", async () => {
      const dbPath = copyOfVersion1();
      const runner = openRunner({ dbPath });
      await replayOf(runner, "long");
      withDatabase(dbPath, (db) => new Version1(db).setState("long", "theirs"));
      expect(await runToEnd(runner, "long", "ours", answeringAgent())).toMatchObject([
        { type: "RUN_ERROR", code: "THREAD_ALREADY_RUNNING" },
      ]);
      withDatabase(dbPath, (db) => {
        const version1 = new Version1(db);
        version1.storeRun("long", "theirs");
        version1.setState("long", null);
      });
      await runToEnd(runner, "long", "ours", answeringAgent());
      expect(runIdsIn(await replayOf(runner, "long")).slice(-2)).toEqual(["theirs", "ours"]);
    });
  },
);
