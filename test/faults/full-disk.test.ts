import "../support/leak-guard.ts";
import { execFileSync } from "node:child_process";
import { statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { verifyWithClients } from "../events/clients.ts";
import { nextLine, spawnChild } from "../support/child-process.ts";
import { eventsOf, runRows, valueIn } from "../support/database-file.ts";
import { closing, delta, opening, says } from "../support/message-events.ts";
import {
  collectingLogger,
  openRunner,
  replayOf,
  runIdsIn,
  runToEnd,
  spokenIn,
  typesOf,
  watch,
} from "../support/open-runner.ts";
import { eventually } from "../support/poll.ts";
import { puppetAgent } from "../support/puppet-agent.ts";
import {
  answeringAgent,
  finished,
  heldAgent,
  inputOf,
  type ScriptEvent,
  scriptedAgent,
  started,
} from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";
import { tinyDisk } from "../support/tiny-disk.ts";

const ids = { threadId: "t", runId: "during" };
const WORD = "word ".repeat(200);

/** Emits a lot at once. */
const verboseAgent = () =>
  scriptedAgent(function* ({ input }) {
    yield started(input);
    yield opening("m");
    for (let at = 0; at < 100; at++) yield delta("m", WORD);
    yield closing("m");
    yield finished(input);
  });

describe("a disk that is full", () => {
  it("does not stop streams; a run that is not stored gets an error, and is stored when there is room", async ({
    skip,
  }) => {
    const disk = tinyDisk(skip);
    const dbPath = join(disk.path, "threads.db");
    const logger = collectingLogger();
    const runner = openRunner({ dbPath, logger, lingerMs: 5 });
    await runToEnd(runner, "t", "before", answeringAgent());

    const agent = puppetAgent();
    const stream = watch(runner.run({ threadId: "t", agent, input: inputOf("t", "during") }));
    await agent.started;
    agent.emit(started(ids), opening("m"));
    await runner.flush();
    disk.fill();
    for (let at = 0; at < 300; at++) {
      agent.emit(delta("m", WORD));
      expect(stream.events.length).toBe(3 + at);
      if (at === 100) await eventually(() => runner.stats().lastError !== null);
    }
    expect(runner.stats().lastError).toMatchObject({ code: "DISK_FULL" });
    // A connection during the outage follows the run from memory.
    const follower = watch(runner.connect({ threadId: "t" }));
    await follower.until(says(WORD));
    agent.emit(closing("m"), finished(ids));
    agent.finish();

    const events = await stream.done;
    expect(events.slice(-2)).toEqual([
      finished(ids),
      {
        type: "RUN_ERROR",
        code: "PERSISTENCE_FAILED",
        message: expect.stringContaining("full"),
      },
    ]);
    await verifyWithClients(events);
    await verifyWithClients(await follower.done);
    expect(runIdsIn(await follower.done)).toEqual(["before", "during"]);
    expect(await runner.isRunning({ threadId: "t" })).toBe(false);

    // New runs cannot begin, but stored runs can be replayed.
    for (const threadId of ["t", "other"]) {
      const refused = await runToEnd(runner, threadId, `refused-${threadId}`, answeringAgent());
      expect(refused).toEqual([
        { type: "RUN_ERROR", code: "DISK_FULL", message: expect.stringContaining("full") },
      ]);
    }
    expect(runIdsIn(await replayOf(runner, "t"))).toEqual(["before", "during"]);

    disk.clear();
    await runner.flush();
    const stored = eventsOf(runRows(dbPath, "t").at(-1));
    expect(typesOf(stored)).toEqual([
      "RUN_STARTED",
      "TEXT_MESSAGE_START",
      "TEXT_MESSAGE_CONTENT",
      "TEXT_MESSAGE_END",
      "RUN_FINISHED",
    ]);
    expect(spokenIn(stored)).toBe(WORD.repeat(300));
    for (const reader of [runner, openRunner({ dbPath })]) {
      const replay = await replayOf(reader, "t");
      expect(runIdsIn(replay)).toEqual(["before", "during"]);
      expect(replay.at(-1)).toEqual(finished(ids));
    }
    for (const threadId of ["t", "other"]) {
      const events = await runToEnd(runner, threadId, `refused-${threadId}`, answeringAgent());
      expect(typesOf(events).at(-1)).toBe("RUN_FINISHED");
    }
    await runner.close();
    expect(valueIn(dbPath, "PRAGMA integrity_check")).toBe("ok");
  });

  it("is the reason that close gives, and close does not wait for room", async ({ skip }) => {
    const disk = tinyDisk(skip);
    const dbPath = join(disk.path, "threads.db");
    const logger = collectingLogger();
    const timeouts = { closeTimeoutMs: 200, stopTimeoutMs: 200, leaseMs: 500 };
    const runner = openRunner({ dbPath, logger, ...timeouts });
    await runToEnd(runner, "t", "before", answeringAgent());
    const agent = heldAgent();
    const held = watch(runner.run({ threadId: "held", agent, input: inputOf("held", "held") }));
    await agent.halfway;
    await runner.flush();
    disk.fill();
    // Its claim may fit into an existing page, but the run does not.
    const lost = watch(
      runner.run({ threadId: "t", agent: verboseAgent(), input: inputOf("t", "lost") }),
    );
    agent.release();
    await eventually(() => runner.stats().lastError !== null);

    const closed = runner.close();
    await expect(closed).rejects.toMatchObject({
      name: "RunStoreError",
      code: "CLOSE_INCOMPLETE",
      message: expect.stringMatching(/could not be stored, "(held|lost)" among them.*full/s),
    });
    await expect(runner.close()).rejects.toBe(await closed.catch((error: unknown) => error));
    for (const stream of [held, lost]) {
      expect((await stream.done).at(-1)?.type).toBe("RUN_ERROR");
    }
    const late = await runToEnd(runner, "t", "late", answeringAgent());
    expect(late).toMatchObject([{ type: "RUN_ERROR", code: "RUNNER_CLOSED" }]);

    disk.clear();
    const next = openRunner({ dbPath });
    expect(runIdsIn(await replayOf(next, "t")).at(0)).toBe("before");
    const replay = await replayOf(next, "held");
    await verifyWithClients(replay);
    expect(["first half, ", "first half, second half"]).toContain(spokenIn(replay));
    // The closed runner could not delete its row either: its thread is free when its lease has ended.
    let after: ScriptEvent[];
    do after = await runToEnd(next, "held", "after", answeringAgent());
    while (after.at(-1)?.code === "THREAD_ALREADY_RUNNING");
    expect(typesOf(after).at(-1)).toBe("RUN_FINISHED");
    expect(runIdsIn(await replayOf(next, "held")).at(-1)).toBe("after");
    await next.close();
    expect(valueIn(dbPath, "PRAGMA integrity_check")).toBe("ok");
  });

  it("when a new file is opened is a DISK_FULL, and the file is usable once there is room", async ({
    skip,
  }) => {
    const disk = tinyDisk(skip);
    const dbPath = join(disk.path, "threads.db");
    disk.fill();
    const runner = openRunner({ dbPath, closeTimeoutMs: 100, stopTimeoutMs: 100 });
    const events = await runToEnd(runner, "t", "refused", answeringAgent());
    expect(events).toMatchObject([{ type: "RUN_ERROR", code: "DISK_FULL" }]);
    const replay = await replayOf(runner, "t");
    expect(replay).toMatchObject([{ type: "RUN_ERROR", code: "DISK_FULL" }]);
    disk.clear();
    const later = await runToEnd(runner, "t", "stored", answeringAgent());
    expect(later.at(-1)).toMatchObject({ type: "RUN_FINISHED" });
    expect(runIdsIn(await replayOf(runner, "t"))).toEqual(["stored"]);
    await runner.close();
  });
});

describe("a file that may not grow", () => {
  const LIMITED = fileURLToPath(new URL("fixtures/file-limit.child.ts", import.meta.url));

  function limit(pid: number | undefined, bytes: number | "unlimited"): void {
    // Only the soft limit: a process without root rights may raise it again.
    execFileSync("prlimit", [`--pid=${pid}`, `--fsize=${bytes}:`], { stdio: "pipe" });
  }

  it("fails runs in their streams, and stores them once it may grow", async ({ skip }) => {
    try {
      limit(process.pid, "unlimited");
    } catch (error) {
      skip(`prlimit does not work here: ${(error as Error).message}`);
    }
    const dbPath = tempDatabase();
    const child = spawnChild(process.execPath, [LIMITED, dbPath]);
    expect(await nextLine(child)).toBe("ready");
    // Room for the claim, but not for the run.
    limit(child.process.pid, statSync(`${dbPath}-wal`).size + 50_000);
    child.process.kill("SIGUSR2");
    expect(await nextLine(child)).toBe("RUN_FINISHED ");
    expect(await nextLine(child)).toBe("RUN_ERROR PERSISTENCE_FAILED");
    expect(runRows(dbPath, "t").map((row) => row.run_id)).toEqual(["before"]);
    limit(child.process.pid, "unlimited");
    expect(await nextLine(child)).toBe("stored");
    expect(await nextLine(child)).toBe("closed");
    expect(await child.exited).toEqual({ code: 0, stderr: "" });
    expect(runRows(dbPath, "t").map((row) => row.run_id)).toEqual(["before", "during"]);
    expect(valueIn(dbPath, "PRAGMA integrity_check")).toBe("ok");
  });
});
