import "../support/leak-guard.ts";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readFileSync,
  rmdirSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import Database from "better-sqlite3";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { SqliteAgentRunner } from "../../src/index.ts";
import { withDatabase } from "../support/database-file.ts";
import {
  collectingLogger,
  openRunner,
  replayOf,
  runIdsIn,
  runToEnd,
  typesOf,
} from "../support/open-runner.ts";
import {
  answeringAgent,
  finished,
  scriptedAgent,
  started,
  text,
} from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";
import { tinyDisk } from "../support/tiny-disk.ts";

const RUNS = 8;

/** An intact file of a runner, with a few hundred pages. */
async function storedFile(): Promise<string> {
  const dbPath = tempDatabase();
  const runner = new SqliteAgentRunner({ dbPath });
  for (let run = 0; run < RUNS; run++) {
    const agent = scriptedAgent(function* ({ input }) {
      yield started(input);
      yield* text(`answer-${run}`, `run ${run} `.repeat(10_000));
      yield finished(input);
    });
    await runToEnd(runner, "t", `r${run}`, agent);
  }
  await runner.close();
  return dbPath;
}

function overwrite(path: string, position: number, bytes: Uint8Array): void {
  const content = readFileSync(path);
  content.set(bytes, position);
  writeFileSync(path, content);
}

function flipBits(path: string, from: number, to: number): void {
  overwrite(
    path,
    from,
    readFileSync(path)
      .subarray(from, to)
      .map((byte) => byte ^ 0xff),
  );
}

/** The offset of the root page of a table or index in the file. */
function rootOf(path: string, name: string): { readonly from: number; readonly to: number } {
  return withDatabase(path, (db) => {
    const size = Number(db.pragma("page_size", { simple: true }));
    const page = Number(
      db.prepare("SELECT rootpage FROM sqlite_master WHERE name = ?").pluck().get(name),
    );
    return { from: (page - 1) * size, to: page * size };
  });
}

function hashOf(path: string): string {
  if (!existsSync(path)) return "absent";
  if (statSync(path).isDirectory()) return "directory";
  return createHash("sha256").update(readFileSync(path)).digest("hex");
}

interface BadFile {
  readonly name: string;
  readonly code: string;
  readonly make: () => string | Promise<string>;
}

const badFiles: readonly BadFile[] = [
  {
    name: "a file cut in the middle",
    code: "CORRUPT",
    async make() {
      const path = await storedFile();
      // SQLite reads the header of such a file, and then misses the other pages.
      truncateSync(path, 4096 + 100);
      return path;
    },
  },
  {
    name: "a file cut within its header",
    code: "CORRUPT",
    async make() {
      const path = await storedFile();
      truncateSync(path, 50);
      return path;
    },
  },
  {
    name: "a header whose bits are flipped",
    code: "NOT_A_DATABASE",
    async make() {
      const path = await storedFile();
      flipBits(path, 0, 100);
      return path;
    },
  },
  {
    name: "a schema whose bits are flipped",
    code: "CORRUPT",
    async make() {
      const path = await storedFile();
      flipBits(path, 100, 4096);
      return path;
    },
  },
  {
    name: "a file that is not SQLite",
    code: "NOT_A_DATABASE",
    make() {
      const path = tempDatabase();
      writeFileSync(path, "a letter to a friend\n".repeat(500));
      return path;
    },
  },
  {
    name: "a database of another application",
    code: "FOREIGN_FILE",
    make() {
      const path = tempDatabase();
      const db = new Database(path);
      db.exec("CREATE TABLE invoices (id INTEGER PRIMARY KEY, total INTEGER)");
      db.exec("INSERT INTO invoices VALUES (1, 100)");
      db.close();
      return path;
    },
  },
  {
    name: "a database with an agent_runs of its own",
    code: "FOREIGN_FILE",
    make() {
      const path = tempDatabase();
      const db = new Database(path);
      db.exec("CREATE TABLE agent_runs (id INTEGER PRIMARY KEY, agent TEXT)");
      db.close();
      return path;
    },
  },
  {
    name: "a file of a newer release",
    code: "SCHEMA_TOO_NEW",
    async make() {
      const path = await storedFile();
      withDatabase(path, (db) => db.exec("INSERT INTO schema_version VALUES (99, 0)"));
      return path;
    },
  },
  {
    name: "a directory",
    code: "CANNOT_OPEN",
    make: () => dirname(tempDatabase()),
  },
  {
    name: "a path under a file",
    code: "CANNOT_OPEN",
    make() {
      const path = tempDatabase();
      writeFileSync(path, "");
      return join(path, "threads.db");
    },
  },
  {
    name: "a path below a link that leads nowhere",
    code: "CANNOT_OPEN",
    make() {
      const link = tempDatabase();
      symlinkSync("/nowhere/at/all", link);
      return join(link, "folder", "threads.db");
    },
  },
  {
    // Other systems have no /proc, but a root directory that cannot be written to.
    name: "a path below a folder that the system does not make",
    code: process.platform === "linux" ? "CANNOT_OPEN" : "READ_ONLY",
    make: () => "/proc/no-such-process/folder/threads.db",
  },
];

describe.each(badFiles)("$name", ({ code, make }) => {
  it(`is a RUN_ERROR ${code} to each run and connect, and stays as it is`, async () => {
    const dbPath = await make();
    const before = hashOf(dbPath);
    const stderr = vi.spyOn(console, "error").mockImplementation(() => {});
    onTestFinished(() => stderr.mockRestore());
    const agent = answeringAgent();
    const runner = new SqliteAgentRunner({ dbPath });
    const error = { type: "RUN_ERROR", code, message: expect.stringMatching(/./) };

    expect(await runToEnd(runner, "t", "r1", agent)).toEqual([error]);
    expect(await replayOf(runner, "t")).toEqual([error]);
    // The next run tries again, because the file may have been repaired.
    expect(await runToEnd(runner, "t", "r2", agent)).toEqual([error]);
    expect(await replayOf(runner, "t")).toEqual([error]);
    expect(agent.inputs).toEqual([]);

    await expect(runner.isRunning({ threadId: "t" })).rejects.toMatchObject({ code });
    await expect(runner.stop({ threadId: "t" })).rejects.toMatchObject({ code });
    await runner.flush();
    await runner.close();
    expect(await runner.isRunning({ threadId: "t" })).toBe(false);
    expect(await runner.stop({ threadId: "t" })).toBe(false);

    expect(hashOf(dbPath)).toBe(before);
    expect(stderr.mock.calls.map(([message]) => message)).toEqual([
      "[durable-agent-runner] cannot open the database",
    ]);
    expect(stderr.mock.calls[0]?.[1]).toMatchObject({ code, dbPath });
  });
});

it("an empty file becomes a database", async () => {
  const dbPath = tempDatabase();
  writeFileSync(dbPath, "");
  const runner = openRunner({ dbPath });
  expect(typesOf(await runToEnd(runner, "t", "r", answeringAgent())).at(-1)).toBe("RUN_FINISHED");
  expect(runIdsIn(await replayOf(runner, "t"))).toEqual(["r"]);
});

it("a file that is repaired is opened by the next run", async () => {
  const dbPath = tempDatabase();
  mkdirSync(dbPath);
  const runner = openRunner({ dbPath });
  const refused = await runToEnd(runner, "t", "r", answeringAgent());
  expect(refused).toMatchObject([{ type: "RUN_ERROR", code: "CANNOT_OPEN" }]);
  rmdirSync(dbPath);
  expect(typesOf(await runToEnd(runner, "t", "r", answeringAgent())).at(-1)).toBe("RUN_FINISHED");
  expect(runIdsIn(await replayOf(runner, "t"))).toEqual(["r"]);
});

describe("a file system that is read-only", () => {
  it("is a RUN_ERROR READ_ONLY, and the file stays as it is", async ({ skip }) => {
    const disk = tinyDisk(skip);
    const dbPath = join(disk.path, "threads.db");
    const writing = openRunner({ dbPath });
    await runToEnd(writing, "t", "before", answeringAgent());
    await writing.close();
    const before = hashOf(dbPath);
    disk.writeProtect();

    const logger = collectingLogger();
    for (const path of [dbPath, join(disk.path, "new.db")]) {
      const runner = openRunner({ dbPath: path, logger });
      const error = { type: "RUN_ERROR", code: "READ_ONLY" };
      expect(await runToEnd(runner, "t", "r", answeringAgent())).toMatchObject([error]);
      expect(await replayOf(runner, "t")).toMatchObject([error]);
      await runner.close();
    }
    expect(hashOf(dbPath)).toBe(before);
    expect(logger.lines.filter(({ level }) => level === "error").length).toBe(2);
  });
});

describe("a corrupt page that opening the file does not read", () => {
  it("fails a run with CORRUPT when its claim reads the page", async () => {
    const dbPath = await storedFile();
    const { from, to } = rootOf(dbPath, "threads");
    flipBits(dbPath, from, to);
    const runner = openRunner({ dbPath });
    const agent = answeringAgent();
    const events = await runToEnd(runner, "t", "new", agent);
    expect(events).toMatchObject([{ type: "RUN_ERROR", code: "CORRUPT" }]);
    expect(agent.inputs).toEqual([]);
    // The readable part is still replayed.
    expect(runIdsIn(await replayOf(runner, "t")).length).toBe(RUNS);
    await runner.flush();
    await runner.close();
  });

  it("is reported when storing a run reads the page, and when close does", async () => {
    const dbPath = await storedFile();
    const { from, to } = rootOf(dbPath, "agent_runs");
    flipBits(dbPath, from, to);
    const runner = openRunner({ dbPath });
    const events = await runToEnd(runner, "other", "new", answeringAgent());
    expect(typesOf(events).slice(-2)).toEqual(["RUN_FINISHED", "RUN_ERROR"]);
    expect(events.at(-1)).toMatchObject({
      code: "PERSISTENCE_FAILED",
      message: expect.stringContaining("SQLITE_CORRUPT"),
    });
    expect(await runner.isRunning({ threadId: "other" })).toBe(false);
    await expect(runner.flush()).rejects.toMatchObject({ code: "PERSISTENCE_FAILED" });
    await expect(runner.close()).rejects.toMatchObject({ code: "CLOSE_INCOMPLETE" });
  });

  it("is a RUN_ERROR CORRUPT for a connect that reads the page", async () => {
    const dbPath = await storedFile();
    const { from, to } = rootOf(dbPath, "agent_runs");
    flipBits(dbPath, from, to);
    const runner = openRunner({ dbPath });
    const replay = await replayOf(runner, "t");
    expect(replay.at(-1)).toMatchObject({ type: "RUN_ERROR", code: "CORRUPT" });
    await runner.close();
  });

  it("in the middle of a history gives the events before it, then a RUN_ERROR CORRUPT", async () => {
    const dbPath = await storedFile();
    const { size } = statSync(dbPath);
    flipBits(dbPath, Math.floor(size / 2 / 4096) * 4096, Math.floor(size / 2 / 4096) * 4096 + 8192);
    const runner = openRunner({ dbPath });
    const replay = await replayOf(runner, "t");
    expect(runIdsIn(replay).at(0)).toBe("r0");
    expect(replay.at(-1)).toMatchObject({ type: "RUN_ERROR", code: "CORRUPT" });
    await runner.close();
  });
});

describe("a new file after a power cut, with a rollback journal and a WAL", () => {
  it("is opened and usable", async () => {
    const dbPath = tempDatabase();
    const db = new Database(dbPath);
    db.pragma("journal_mode = WAL");
    db.close();
    // https://www.sqlite.org/fileformat.html#the_rollback_journal: no pages, of a file that had none.
    const journal = Buffer.alloc(512);
    journal.write("d9d505f920a163d7", "hex");
    journal.writeUInt32BE(512, 20);
    journal.writeUInt32BE(4096, 24);
    writeFileSync(`${dbPath}-journal`, journal);
    writeFileSync(`${dbPath}-wal`, Buffer.alloc(32, "x"));
    const runner = openRunner({ dbPath });
    await runner.ready();
    const events = await runToEnd(runner, "t", "r", answeringAgent());
    expect(events.at(-1)?.type).toBe("RUN_FINISHED");
    expect(existsSync(`${dbPath}-journal`)).toBe(false);
  });
});
