import "../support/leak-guard.ts";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { prose } from "../../bench/workloads/prose.ts";
import { type SqliteAgentRunner, withResource } from "../../src/index.ts";
import { ByteSearch } from "../../workers/sqlite/removal/byte-search.ts";
import { Needles } from "../../workers/sqlite/removal/needles.ts";
import { nextLine, spawnChild } from "../support/child-process.ts";
import { valueIn, withDatabase } from "../support/database-file.ts";
import { countInFiles } from "../support/file-search.ts";
import { openRunner, replayOf, runIdsIn, runToEnd } from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import {
  answeringAgent,
  finished,
  heldAgent,
  scriptedAgent,
  started,
} from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";
import { Version1 } from "../support/version-1.ts";

const HOLDER = fileURLToPath(new URL("../support/hold-snapshot.child.ts", import.meta.url));

/** An agent that says a secret in every way in which a run can hold it. */
const tellingAgent = (secret: string, pauses = false) =>
  scriptedAgent(async function* ({ input }) {
    const messageId = `${secret}-message-${input.runId}`;
    yield started(input);
    yield { type: "TEXT_MESSAGE_START", messageId, role: "assistant" };
    for (let at = 0; at < 30; at++) {
      yield { type: "TEXT_MESSAGE_CONTENT", messageId, delta: `${secret} "says" größer ${at} ` };
      // The journal is written while the run goes on.
      if (pauses && at % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    }
    yield { type: "TEXT_MESSAGE_END", messageId };
    yield { type: "CUSTOM", name: "long", value: `${secret}-long `.repeat(20_000) };
    yield {
      type: "STATE_SNAPSHOT",
      snapshot: { [`${secret}-key`]: `${secret}-state `.repeat(300) },
    };
    yield finished(input);
  });

const secretOf = (name: string) => `${name}-${randomUUID()}`;

async function tell(runner: SqliteAgentRunner, threadId: string, secret: string, runs = 4) {
  for (let at = 1; at <= runs; at++) {
    await runToEnd(runner, threadId, `${secret}-run-${at}`, tellingAgent(secret, at === 1));
  }
}

/** How the compressed values in a file begin. */
function compressedIn(dbPath: string): Buffer[] {
  const sql = "SELECT substr(text, 1, 40) FROM shared_values WHERE typeof(text) = 'blob'";
  return withDatabase(dbPath, (db) => db.prepare<[], Buffer>(sql).pluck().all());
}

describe("erase", () => {
  test("leaves nothing of a resource in any file, and all of the others", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath, lingerMs: 1 });
    const [ann, bob] = [secretOf("ann"), secretOf("bob")];
    const threadOf = (secret: string, at: number) => `${secret}-thread-${at}`;
    await withResource(ann, async () => {
      for (const at of [1, 2]) await tell(runner, threadOf(ann, at), ann);
      await runner.threads.rename(threadOf(ann, 1), `${ann} title`);
      await runner.threads.setMetadata(threadOf(ann, 2), { key: `${ann}-metadata` });
      await runner.threads.list({ search: "says" });
    });
    await withResource(bob, () => tell(runner, threadOf(bob, 1), bob));
    const before = await withResource(bob, () => replayOf(runner, threadOf(bob, 1)));
    expect(countInFiles(dbPath, ann)).toBeGreaterThan(1000);
    const erased = await runner.threads.erase({ resourceId: ann });
    expect(erased).toEqual({ threads: 2, runs: 8, verified: true });
    expect(countInFiles(dbPath, ann)).toBe(0);
    expect(await withResource(bob, () => replayOf(runner, threadOf(bob, 1)))).toEqual(before);
    expect(countInFiles(dbPath, bob)).toBeGreaterThan(1000);
    // A resource without threads: nothing is removed, and nothing is left.
    expect(await runner.threads.erase({ resourceId: ann })).toMatchObject({ threads: 0 });
  });

  test("leaves nothing of one thread, although its journals and values were deleted before", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath, lingerMs: 1 });
    const [secret, other] = [secretOf("secret"), secretOf("other")];
    await tell(runner, "erased", secret, 6);
    await tell(runner, "kept", other, 3);
    await runner.purge({ maxRunsPerThread: 3 });
    const early = `${secret}-run-1`;
    expect(await runner.threads.erase({ threadId: "erased" })).toMatchObject({ verified: true });
    expect(countInFiles(dbPath, secret)).toBe(0);
    expect(countInFiles(dbPath, early)).toBe(0);
    expect(runIdsIn(await replayOf(runner, "kept"))).toHaveLength(3);
    await expect(runner.threads.erase({ threadId: "erased" })).rejects.toMatchObject({
      code: "THREAD_NOT_FOUND",
    });
  });

  test("writes a file anew that has remains in the middle of its pages", async () => {
    const dbPath = tempDatabase();
    const secret = secretOf("secret");
    // A file of version 1, whose pages cannot be given back, and in which nothing was overwritten.
    const seed = openRunner({ dbPath: `${dbPath}.seed` });
    await seed.close();
    const { default: Database } = await import("better-sqlite3");
    const old = new Database(dbPath);
    const version1 = new Version1(old);
    for (let at = 0; at < 50; at++)
      version1.storeRun(at % 2 === 0 ? "erased" : "kept", `old-${at}`);
    const say = old.prepare("UPDATE agent_runs SET input = ? WHERE thread_id = 'erased'");
    const input = { threadId: "t", runId: "r", messages: [], said: secret.repeat(10) };
    say.run(JSON.stringify(input));
    say.run("{}");
    old.close();
    expect(countInFiles(dbPath, secret)).toBeGreaterThan(0);
    const runner = openRunner({ dbPath });
    await runToEnd(
      runner,
      "erased",
      "new",
      scriptedAgent(function* ({ input: own }) {
        yield started(own);
        yield { type: "CUSTOM", name: "said", value: secret };
        yield finished(own);
      }),
    );
    expect(await runner.threads.erase({ threadId: "erased" })).toMatchObject({ verified: true });
    expect(countInFiles(dbPath, secret)).toBe(0);
    expect(runIdsIn(await replayOf(runner, "kept"))).toHaveLength(25);
  });

  test("keeps what a fork has of it, and nothing else", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    const [shared, own] = [secretOf("shared"), secretOf("own")];
    await tell(runner, "t", shared, 2);
    await runner.threads.fork("t", { newThreadId: "f" });
    await tell(runner, "t", own, 2);
    const before = await replayOf(runner, "f");
    expect(await runner.threads.erase({ threadId: "t" })).toMatchObject({ verified: true });
    expect(countInFiles(dbPath, own)).toBe(0);
    expect(await replayOf(runner, "f")).toEqual(before);
    expect((await runner.threads.get("f"))?.forkedFrom).toBeNull();
    await tell(runner, "f", secretOf("later"), 1);
    expect(await runner.threads.erase({ threadId: "f" })).toMatchObject({ verified: true });
    expect(countInFiles(dbPath, shared)).toBe(0);
  });

  test("leaves nothing of what is stored compressed", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    const talk = async (threadId: string, seed: number) => {
      for (let at = 1; at <= 12; at++) {
        const agent = scriptedAgent(function* ({ input }) {
          const notes = Array.from({ length: at }, (_, note) => prose(seed + note, 2000));
          yield started(input);
          yield { type: "STATE_SNAPSHOT", snapshot: { notes, last: `${threadId} ${at}` } };
          yield finished(input);
        });
        await runToEnd(runner, threadId, `${threadId}-${at}`, agent);
      }
      await replayOf(runner, threadId);
    };
    await talk("erased", 1);
    const erased = compressedIn(dbPath);
    await talk("kept", 100);
    const kept = compressedIn(dbPath).filter((one) => !erased.some((other) => other.equals(one)));
    const before = await replayOf(runner, "kept");
    expect(await runner.threads.erase({ threadId: "erased" })).toMatchObject({ verified: true });
    expect(await replayOf(runner, "kept")).toEqual(before);
    await runner.close();
    const file = readFileSync(dbPath);
    const isIn = (bytes: Buffer) => file.includes(bytes);
    expect([erased.length, kept.length]).toEqual([12, 12]);
    expect(erased.filter(isIn)).toEqual([]);
    // Few of them lie across the border of a page.
    expect(kept.filter(isIn).length).toBeGreaterThan(6);
  });

  test("is proven for text that repeats itself: deflated, it is zeros, as free space is", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    await runToEnd(runner, "kept", "r1", answeringAgent());
    const agent = scriptedAgent(function* ({ input }) {
      yield started(input);
      yield { type: "STATE_SNAPSHOT", snapshot: { said: "x".repeat(120_000) } };
      yield finished(input);
    });
    await runToEnd(runner, "t", "r2", agent);
    const erased = await runner.threads.erase({ threadId: "t" });
    expect(erased).toEqual({ threads: 1, runs: 1, verified: true });
  });

  test("waits for a reader of another process that holds the WAL", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    const secret = secretOf("secret");
    await tell(runner, "t", secret, 1);
    const holder = spawnChild(process.execPath, [HOLDER, dbPath]);
    expect(await nextLine(holder)).toBe("holding");
    await expect(runner.threads.erase({ threadId: "t" })).rejects.toMatchObject({
      code: "ERASE_INCOMPLETE",
    });
    expect(await replayOf(runner, "t")).toEqual([]);
    const erased = runner.threads.erase({ threadId: "t" });
    // Runs go on while the erasure waits.
    await runToEnd(runner, "other", "r", answeringAgent());
    holder.process.stdin?.end();
    expect(await erased).toEqual({ threads: 1, runs: 1, verified: true });
    expect(countInFiles(dbPath, secret)).toBe(0);
  });

  test("ends the run of a thread first", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath, lingerMs: 1 });
    const secret = secretOf("secret");
    await withResource("ann", async () => {
      await tell(runner, "t", secret, 1);
      const agent = heldAgent();
      const running = runToEnd(runner, "t", `${secret}-held`, agent);
      await agent.halfway;
      const erased = await runner.threads.erase({ resourceId: "ann" });
      expect(erased).toMatchObject({ threads: 1, verified: true });
      await running;
    });
    expect(countInFiles(dbPath, secret)).toBe(0);
  });

  test.each([
    ["a thread", { threadId: "t" }],
    ["a resource", { resourceId: "ann" }],
  ])("leaves nothing of %s whose only run executes", async (_, target) => {
    const dbPath = tempDatabase();
    // Journals are retained for the clients of another process.
    const other = openRunner({ dbPath });
    const runner = openRunner({ dbPath, lingerMs: 1 });
    await Promise.all([runner.ready(), other.ready()]);
    const secret = secretOf("secret");
    await withResource("ann", async () => {
      const halfway = Promise.withResolvers<void>();
      const agent = scriptedAgent(async function* ({ input, aborted }) {
        yield started(input);
        yield { type: "CUSTOM", name: "said", value: `${secret} `.repeat(1000) };
        halfway.resolve();
        await aborted;
      });
      const run = runToEnd(runner, "t", "r", agent);
      await halfway.promise;
      await runner.flush();
      expect(countInFiles(dbPath, secret)).toBeGreaterThan(0);
      expect(await runner.threads.erase(target)).toMatchObject({ verified: true });
      await run;
      expect(await runner.threads.get("t")).toBeNull();
    });
    expect(countInFiles(dbPath, secret)).toBe(0);
    expect(valueIn(dbPath, "SELECT count(*) FROM unfinished_erasures")).toBe(0);
  });

  test("leaves nothing of a thread whose only run executes, and is stored in parts already", async () => {
    const dbPath = tempDatabase();
    // Its heartbeats, which delete parts of runs that are over, come later than the end of this test.
    const runner = openRunner({ dbPath, lingerMs: 1, leaseMs: 600_000 });
    const secret = secretOf("secret");
    const halfway = Promise.withResolvers<void>();
    const agent = scriptedAgent(async function* ({ input, aborted }) {
      yield started(input);
      for (let at = 0; at < 40; at++) {
        yield { type: "CUSTOM", name: "said", value: `${secret} `.repeat(2000) };
        if (at % 10 === 9) await runner.flush();
      }
      halfway.resolve();
      await aborted;
    });
    const run = runToEnd(runner, "t", "r", agent);
    await halfway.promise;
    await eventually(() => valueIn(dbPath, "SELECT count(*) FROM shared_values") !== 0);
    expect(await runner.threads.erase({ threadId: "t" })).toMatchObject({ verified: true });
    await run;
    expect(countInFiles(dbPath, secret)).toBe(0);
    expect(valueIn(dbPath, "SELECT count(*) FROM shared_logs")).toBe(0);
  });

  test("leaves a thread alone that somebody else has begun in place of one that is erased", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath, lingerMs: 1 });
    const sayAndWait = (words: string) => {
      const said = Promise.withResolvers<void>();
      const go = Promise.withResolvers<void>();
      const agent = scriptedAgent(async function* ({ input, aborted }) {
        yield started(input);
        yield { type: "CUSTOM", name: "said", value: words };
        await runner.flush();
        said.resolve();
        await Promise.race([go.promise, aborted]);
        yield finished(input);
      });
      return { agent, said: said.promise, go: go.resolve };
    };
    const anns = sayAndWait("ann's words");
    const annsRun = withResource("ann", () => runToEnd(runner, "t", "r1", anns.agent));
    await anns.said;
    const holder = spawnChild(process.execPath, [HOLDER, dbPath]);
    expect(await nextLine(holder)).toBe("holding");
    const erase = () => withResource("ann", () => runner.threads.erase({ threadId: "t" }));
    // Removes the thread with its only run. What is left of it in the files has to be erased by another call.
    await expect(erase()).rejects.toMatchObject({ code: "ERASE_INCOMPLETE" });
    await annsRun;
    const bobs = sayAndWait("bob's words");
    const bobsRun = withResource("bob", () => runToEnd(runner, "t", "r2", bobs.agent));
    await bobs.said;
    holder.process.stdin?.end();
    expect(await erase()).toMatchObject({ verified: true });
    bobs.go();
    expect((await bobsRun).at(-1)).toMatchObject({ type: "RUN_FINISHED" });
    const replay = await withResource("bob", () => replayOf(runner, "t"));
    expect(replay).toContainEqual(expect.objectContaining({ value: "bob's words" }));
  });

  test("that close cuts off says that the runner is closed, and can be called again", async () => {
    const dbPath = tempDatabase();
    const secret = secretOf("secret");
    const runner = openRunner({ dbPath });
    await tell(runner, "t", secret, 2);
    const holder = spawnChild(process.execPath, [HOLDER, dbPath]);
    expect(await nextLine(holder)).toBe("holding");
    const erased = runner.threads.erase({ threadId: "t" }).catch(({ code }) => code);
    await eventually(() => valueIn(dbPath, "SELECT count(*) FROM threads") === 0);
    await runner.close();
    expect(await erased).toBe("RUNNER_CLOSED");
    holder.process.stdin?.end();
    const next = openRunner({ dbPath });
    expect(await next.threads.erase({ threadId: "t" })).toMatchObject({ verified: true });
    expect(countInFiles(dbPath, secret)).toBe(0);
  });

  test("erases a database in memory", async () => {
    const runner = openRunner({});
    await tell(runner, "t", "secret", 2);
    expect(await runner.threads.erase({ threadId: "t" })).toEqual({
      ...{ threads: 1, runs: 2, verified: true },
    });
    expect(await replayOf(runner, "t")).toEqual([]);
  });

  test("a text that others have said too is not looked for", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    for (const threadId of ["a", "b"]) {
      for (let at = 0; at < 3; at++) await runToEnd(runner, threadId, `r${at}`, answeringAgent());
    }
    expect(await runner.threads.erase({ threadId: "a" })).toMatchObject({ verified: true });
    expect(runIdsIn(await replayOf(runner, "b"))).toHaveLength(3);
  });
});

describe("what is looked for", () => {
  test("is found as it is in the file, wherever it begins", () => {
    const needles = new Needles();
    const text = 'größer "quoted" \\ and\nmore 😀 of it';
    needles.addJson(JSON.stringify({ text, short: "short" }));
    needles.addText("a-thread-with-a-long-id");
    needles.addText("short");
    const search = new ByteSearch(needles);
    const file = Buffer.concat([
      Buffer.alloc(77, 1),
      Buffer.from(`${JSON.stringify([text])}a-thread-with-a-long-id`),
    ]);
    const found = new Set<string>();
    search.search(file, found);
    expect([...found].toSorted()).toEqual([...needles].toSorted());
    const none = new Set<string>();
    search.search(Buffer.from("nothing of all that is here, nor anywhere"), none);
    expect(none.size).toBe(0);
  });

  test("is a share of very much content", () => {
    const needles = new Needles();
    for (let at = 0; at < 100_000; at++) needles.addText(`number ${at} of many`);
    expect(needles.size).toBeGreaterThan(5000);
    expect(needles.size).toBeLessThan(20_001);
  });
});

test("new files overwrite what is deleted, and can give their pages back", async () => {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath });
  await runner.ready();
  expect(valueIn(dbPath, "PRAGMA auto_vacuum")).toBe(2);
  const columns = withDatabase(dbPath, (db) => db.pragma("table_info(unfinished_threads)"));
  expect(columns).toHaveLength(5);
});
