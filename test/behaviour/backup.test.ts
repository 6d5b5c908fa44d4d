import "../support/leak-guard.ts";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import Database from "better-sqlite3";
import { describe, expect, it, test } from "vitest";
import { type BackupProgress, type RunStoreError, StoreAgentRunner } from "../../src/index.ts";
import { type Child, nextLine, spawnChild } from "../support/child-process.ts";
import { valueIn, withDatabase } from "../support/database-file.ts";
import { MemoryRunStore } from "../support/memory-store.ts";
import {
  collectingLogger,
  openRunner,
  replayOf,
  runIdsIn,
  runToEnd,
  typesOf,
  watch,
} from "../support/open-runner.ts";
import { outsideSqlites } from "../support/outside-sqlite.ts";
import { eventually } from "../support/poll.ts";
import {
  answeringAgent,
  finished,
  heldAgent,
  inputOf,
  scriptedAgent,
  started,
  text,
} from "../support/scripted-agent.ts";
import { tempDatabase, tempDirectory } from "../support/temp-file.ts";
import { tinyDisk } from "../support/tiny-disk.ts";

const BUSY = fileURLToPath(new URL("./children/busy.child.ts", import.meta.url));

const NOISE = fileURLToPath(new URL("./children/noise.child.ts", import.meta.url));
const BACKUP = fileURLToPath(new URL("./children/backup.child.ts", import.meta.url));

const newPath = () => join(tempDirectory(), "backup.db");

/** An agent that emits so many MB. */
const bulkyAgent = (megabytes: number) =>
  scriptedAgent(function* ({ input }) {
    yield started(input);
    for (let at = 0; at < megabytes; at++) {
      yield* text(`answer-${input.runId}-${at}`, "x".repeat(1_000_000));
    }
    yield finished(input);
  });

/** Resolves when a backup to `path` has created its first file. */
async function untilBegun(path: string): Promise<void> {
  await eventually(() => readdirSync(dirname(path)).length > 0);
}

/** "made", or the code of the error with which a backup failed. */
function outcomeOf(backup: Promise<unknown>): Promise<string> {
  return backup.then(
    () => "made",
    (error: RunStoreError) => error.code,
  );
}

/** Creates a file, and returns false if there is one already. */
function createdAt(path: string, content: string): boolean {
  try {
    writeFileSync(path, content, { flag: "wx" });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    return false;
  }
}

/** Reads lines of the child until `heard` has `count` lines. */
async function hear(child: Child, heard: string[], count: number): Promise<void> {
  while (heard.length < count) heard.push(await nextLine(child));
}

function storedIn(path: string): Set<unknown> {
  const db = new Database(path, { readonly: true });
  try {
    expect(db.pragma("integrity_check", { simple: true })).toBe("ok");
    return new Set(db.prepare("SELECT run_id FROM agent_runs").pluck().all());
  } finally {
    db.close();
  }
}

describe("a backup", () => {
  it.each(["-wal", "-journal"])(
    "is refused with BACKUP_EXISTS if another database has left its %s beside the path: SQLite would read it as part of the copy",
    async (suffix) => {
      const runner = openRunner({ dbPath: tempDatabase() });
      await runToEnd(runner, "t", "r", answeringAgent());
      const path = newPath();
      writeFileSync(path + suffix, "left behind");
      await expect(runner.backup(path)).rejects.toMatchObject({ code: "BACKUP_EXISTS" });
      expect(readdirSync(dirname(path))).toEqual([`backup.db${suffix}`]);
    },
  );

  it("holds no thread for the runs that execute on the original, although their process lives", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const run = watch(
      runner.run({ threadId: "t", agent: heldAgent(), input: inputOf("t", "executes") }),
    );
    await run.until(({ type }) => type === "RUN_STARTED");
    await runner.flush();
    const path = newPath();
    await runner.backup(path);
    const copy = openRunner({ dbPath: path });
    expect(await copy.isRunning({ threadId: "t" })).toBe(false);
    expect((await replayOf(copy, "t")).at(-1)).toMatchObject({ code: "RUN_INTERRUPTED" });
    const next = await runToEnd(copy, "t", "next", answeringAgent());
    expect(next.at(-1)).toMatchObject({ type: "RUN_FINISHED" });
    expect(await runner.isRunning({ threadId: "t" })).toBe(true);
    await runner.stop({ threadId: "t" });
    await run.done;
  });

  it("holds every run that was acknowledged before it, while two processes write", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    await runToEnd(runner, "own", "bulky", bulkyAgent(20));
    const children = ["a", "b"].map((name) => spawnChild(process.execPath, [BUSY, dbPath, name]));
    const heard: string[][] = [[], []];
    const untilEach = (count: number) =>
      Promise.all(children.map((child, at) => hear(child, heard[at] ?? [], count)));
    await untilEach(20);
    const path = newPath();
    const acknowledged = heard.flat();
    const backup = runner.backup(path);
    await untilEach(40);
    await backup;
    const stored = storedIn(path);
    for (const runId of ["bulky", ...acknowledged]) expect(stored).toContain(runId);
    await Promise.all(children.map((child) => child.kill()));
  });

  it("completes although other programs commit without a pause", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    await runToEnd(runner, "t", "r", answeringAgent());
    // Enough steps that they do not fit between two commits, whatever the scheduling.
    withDatabase(dbPath, (db) => {
      db.exec("CREATE TABLE filler (bytes BLOB); INSERT INTO filler VALUES (zeroblob(150000000))");
    });
    const children = [0, 1].map(() => spawnChild(process.execPath, [NOISE, dbPath]));
    for (const child of children) expect(await nextLine(child)).toBe("writing");
    const path = newPath();
    await runner.backup(path);
    await Promise.all(children.map((child) => child.kill()));
    expect(storedIn(path)).toContain("r");
  });

  it("is one private file that the runner opens, and any SQLite, even where no WAL can be created", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    await runToEnd(runner, "t", "r", answeringAgent());
    const path = newPath();
    const { bytes } = await runner.backup(path);
    expect(readdirSync(dirname(path))).toEqual(["backup.db"]);
    expect(statSync(path)).toMatchObject({ size: bytes, nlink: 1 });
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(valueIn(path, "PRAGMA journal_mode")).toBe("delete");
    for (const { ask, unfit } of outsideSqlites()) {
      if (unfit === null) expect(ask(path, "SELECT run_id FROM agent_runs")).toBe("r");
    }
    expect(readdirSync(dirname(path))).toEqual(["backup.db"]);
    const restored = openRunner({ dbPath: path });
    expect(runIdsIn(await replayOf(restored, "t"))).toEqual(["r"]);
    const events = await runToEnd(restored, "t", "next", answeringAgent());
    expect(typesOf(events).at(-1)).toBe("RUN_FINISHED");
  });

  it("is private from its first byte, and gets its name only when it is whole", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    await runToEnd(runner, "t", "r", bulkyAgent(30));
    const seen = new Set<string>();
    // On a busy machine, a backup may be made between two looks.
    while (![...seen].some((name) => name.startsWith("backup.db.partial-"))) {
      const path = newPath();
      let done = false;
      const backup = runner.backup(path).then(() => {
        done = true;
      });
      await eventually(() => {
        for (const name of readdirSync(dirname(path))) {
          const file = statSync(join(dirname(path), name), { throwIfNoEntry: false });
          if (file === undefined) continue;
          seen.add(name);
          expect(file.mode & 0o777, name).toBe(0o600);
          if (name === "backup.db") expect(storedIn(path)).toContain("r");
        }
        return done;
      });
      await backup;
    }
    expect(seen).toContain("backup.db");
  });

  it("reports its progress, and its completion at the end", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    await runToEnd(runner, "t", "r", bulkyAgent(40));
    const told: BackupProgress[] = [];
    const onProgress = (progress: BackupProgress) => void told.push(progress);
    const { bytes } = await runner.backup(newPath(), { onProgress });
    expect(bytes).toBeGreaterThan(40_000_000);
    expect(told.at(-1)).toEqual({ bytes, totalBytes: bytes });
    for (const [at, { bytes: copied, totalBytes }] of told.entries()) {
      expect(totalBytes).toBe(bytes);
      expect(copied).toBeGreaterThanOrEqual(told[at - 1]?.bytes ?? 0);
    }
  });

  it("is made although onProgress throws", async () => {
    const logger = collectingLogger();
    const runner = openRunner({ dbPath: tempDatabase(), logger });
    const path = newPath();
    await runner.backup(path, {
      onProgress() {
        throw new Error("no");
      },
    });
    expect(existsSync(path)).toBe(true);
    // On a slow machine, progress is reported more than once.
    const messages = new Set(logger.lines.map(({ message }) => message));
    expect(messages).toEqual(new Set(["onProgress of a backup failed"]));
  });

  it("of a database in memory holds what was stored, and runs go on meanwhile", async () => {
    const runner = openRunner({ dbPath: ":memory:" });
    await runToEnd(runner, "t", "before", bulkyAgent(10));
    const path = newPath();
    const backup = runner.backup(path);
    const meanwhile = await runToEnd(runner, "t", "meanwhile", answeringAgent());
    expect(typesOf(meanwhile).at(-1)).toBe("RUN_FINISHED");
    await backup;
    expect(storedIn(path)).toContain("before");
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const restored = openRunner({ dbPath: path });
    expect(runIdsIn(await replayOf(restored, "t")).at(0)).toBe("before");
  });

  it("does not block reads of history", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    await runToEnd(runner, "other", "r", answeringAgent());
    await runToEnd(runner, "t", "bulky", bulkyAgent(40));
    // A read that waits for the backup never comes back before the copy has its name. Another read does,
    // sooner or later: on a busy machine, a backup may be faster.
    for (let isReadFirst = false; !isReadFirst; ) {
      const path = newPath();
      const backup = runner.backup(path);
      await untilBegun(path);
      expect(runIdsIn(await replayOf(runner, "other"))).toEqual(["r"]);
      isReadFirst = !existsSync(path);
      await backup;
      expect(existsSync(path)).toBe(true);
    }
  });

  it.skipIf(process.platform !== "linux")(
    "keeps SQLite's lock on the database (/proc/locks, which only Linux has)",
    async () => {
      const dbPath = tempDatabase();
      const runner = openRunner({ dbPath });
      await runToEnd(runner, "t", "r", answeringAgent());
      await runner.backup(newPath());
      const locks = readFileSync("/proc/locks", "utf8").split("\n");
      const marks = [` ${process.pid} `, `:${statSync(dbPath).ino} `];
      expect(locks.some((line) => marks.every((mark) => line.includes(mark)))).toBe(true);
    },
  );
});

describe("a process that is killed while it makes a backup", () => {
  it("leaves a file under the backup's name only if the copy is whole", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    await runToEnd(runner, "t", "r", bulkyAgent(40));
    await runner.close();
    // On a busy machine, the backup may be made before the process is killed.
    for (let isPartial = false; !isPartial; ) {
      const path = newPath();
      const child = spawnChild(process.execPath, [BACKUP, dbPath, path]);
      await untilBegun(path);
      await child.kill();
      isPartial = !existsSync(path);
      if (isPartial) {
        const left = readdirSync(dirname(path));
        expect(left.some((name) => name.startsWith("backup.db.partial-"))).toBe(true);
        // The rest of the killed backup does not hinder another backup.
        const next = openRunner({ dbPath });
        await next.backup(path);
      }
      expect(storedIn(path)).toContain("r");
    }
  });
});

describe("a backup that fails leaves no files and rejects with", () => {
  it("BACKUP_EXISTS if the file exists, and does not change it", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    const path = newPath();
    writeFileSync(path, "precious");
    for (const existing of [path, dbPath, dirname(path)]) {
      await expect(runner.backup(existing)).rejects.toMatchObject({ code: "BACKUP_EXISTS" });
    }
    expect(readFileSync(path, "utf8")).toBe("precious");
    expect(readdirSync(dirname(path))).toEqual(["backup.db"]);
    expect(typesOf(await runToEnd(runner, "t", "r", answeringAgent())).at(-1)).toBe("RUN_FINISHED");
  });

  it("BACKUP_EXISTS if the file is created meanwhile", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    await runToEnd(runner, "t", "r", bulkyAgent(30));
    // On a busy machine, the backup may be made before the file is created.
    for (let isCreated = false; !isCreated; ) {
      const path = newPath();
      const backup = outcomeOf(runner.backup(path));
      await untilBegun(path);
      isCreated = createdAt(path, "precious");
      expect(await backup).toBe(isCreated ? "BACKUP_EXISTS" : "made");
      if (isCreated) expect(readFileSync(path, "utf8")).toBe("precious");
      expect(readdirSync(dirname(path))).toEqual(["backup.db"]);
    }
  });

  it("CANNOT_OPEN if the directory does not exist", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const path = join(tempDirectory(), "none", "backup.db");
    const refusal = { code: "CANNOT_OPEN", message: expect.stringContaining(path) };
    await expect(runner.backup(path)).rejects.toMatchObject(refusal);
    expect(existsSync(dirname(path))).toBe(false);
  });

  it("NAME_TOO_LONG", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    const path = join(tempDirectory(), "x".repeat(254));
    await expect(runner.backup(path)).rejects.toMatchObject({ code: "NAME_TOO_LONG" });
  });

  it("RUNNER_CLOSED after close", async () => {
    const runner = openRunner({ dbPath: tempDatabase() });
    await runner.close();
    await expect(runner.backup(newPath())).rejects.toMatchObject({ code: "RUNNER_CLOSED" });
  });

  it("DISK_FULL, and the database stays usable", async ({ skip }) => {
    const disk = tinyDisk(skip);
    const runner = openRunner({ dbPath: tempDatabase() });
    await runToEnd(runner, "t", "bulky", bulkyAgent(10));
    const folder = join(disk.path, "backups");
    mkdirSync(folder);
    const path = join(folder, "backup.db");
    await expect(runner.backup(path)).rejects.toMatchObject({ code: "DISK_FULL" });
    expect(readdirSync(folder)).toEqual([]);
    expect(typesOf(await runToEnd(runner, "t", "r", answeringAgent())).at(-1)).toBe("RUN_FINISHED");
  });

  it.each(["a file", ":memory:"])(
    "RUNNER_CLOSED if the runner is closed in the middle: %s",
    async (kind) => {
      // On a busy machine, the backup may be made before the runner is closed.
      for (let outcome = "made"; outcome === "made"; ) {
        const runner = openRunner({ dbPath: kind === "a file" ? tempDatabase() : kind });
        await runToEnd(runner, "t", "r", bulkyAgent(60));
        const path = newPath();
        const backup = outcomeOf(runner.backup(path));
        await untilBegun(path);
        await runner.close();
        const left = readdirSync(dirname(path));
        outcome = await backup;
        expect([outcome, ...left]).toEqual(
          outcome === "made" ? ["made", "backup.db"] : ["RUNNER_CLOSED"],
        );
      }
    },
  );

  it("BACKUP_UNSUPPORTED if the store makes no backups", async () => {
    const runner = new StoreAgentRunner({
      store: new MemoryRunStore(),
      onConcurrentRun: "throw",
      stopTimeoutMs: 1000,
      closeTimeoutMs: 1000,
      storeInput: "full",
      logger: collectingLogger(),
    });
    await expect(runner.backup(newPath())).rejects.toMatchObject({ code: "BACKUP_UNSUPPORTED" });
    await runner.close();
  });

  test.each([
    ["", undefined, "expected the path of a new file"],
    [":memory:", undefined, "expected the path of a new file"],
    ["file:backup.db", undefined, "write the path alone"],
    ["~/backup.db", undefined, 'only a shell knows "~"'],
    [5, undefined, "got 5"],
    ["backup.db", { onProgress: 5 }, "expected onProgress to be a function, got 5"],
    ["backup.db", null, "expected an object of options, got null"],
  ])("a TypeError for %j, %j", async (path, options, says) => {
    const runner = openRunner({ dbPath: ":memory:" });
    const backup = runner.backup(path as string, options as object | undefined);
    await expect(backup).rejects.toThrow(TypeError);
    await expect(backup).rejects.toThrow(says);
  });
});
