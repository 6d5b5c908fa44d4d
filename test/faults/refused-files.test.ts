import "../support/leak-guard.ts";
import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
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
import { SCHEMA_VERSION } from "../../workers/sqlite/database/schema.ts";
import { withDatabase } from "../support/database-file.ts";
import {
  collectingLogger,
  openRunner,
  replayOf,
  runIdsIn,
  runToEnd,
  typesOf,
} from "../support/open-runner.ts";
import { answeringAgent } from "../support/scripted-agent.ts";
import { tempDatabase, tempDirectory } from "../support/temp-file.ts";
import { tinyDisk } from "../support/tiny-disk.ts";
import { flipBits, storedFile } from "./stored-file.ts";

/** A digest of each file in the directory, by its name. */
function filesIn(directory: string): Record<string, string> {
  const names = readdirSync(directory).filter((name) => statSync(join(directory, name)).isFile());
  return Object.fromEntries(names.map((name) => [name, digestOf(join(directory, name))]));
}

function digestOf(path: string): string {
  return createHash("sha256").update(readFileSync(path)).digest("hex");
}

/** The files beside the database; those in it, where a directory has its name. */
function filesBeside(dbPath: string): Record<string, string> {
  const directory = [dbPath, dirname(dbPath)].find(
    (path) => existsSync(path) && statSync(path).isDirectory(),
  );
  return directory === undefined ? {} : filesIn(directory);
}

/** A file of this release, with a run, which says that a later release wrote it. */
async function newerFile(): Promise<string> {
  const path = await storedFile();
  withDatabase(path, (db) => {
    db.exec("CREATE TABLE from_the_future (id INTEGER PRIMARY KEY)");
    db.exec(`INSERT INTO schema_version VALUES (${SCHEMA_VERSION + 1}, 0)`);
  });
  return path;
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
    name: "a few bytes",
    code: "NOT_A_DATABASE",
    make() {
      const path = tempDatabase();
      writeFileSync(path, "no database");
      return path;
    },
  },
  {
    name: "the head of a database and nothing else",
    code: "NOT_A_DATABASE",
    make() {
      const path = tempDatabase();
      writeFileSync(path, "SQLite format 3\0".padEnd(4096, "x"));
      return path;
    },
  },
  ...["delete", "wal"].map((mode) => ({
    name: `a foreign database in ${mode} mode`,
    code: "FOREIGN_FILE",
    make() {
      const path = tempDatabase();
      const db = new Database(path);
      db.pragma(`journal_mode = ${mode}`);
      db.exec("CREATE TABLE invoices (id INTEGER PRIMARY KEY, total INTEGER)");
      db.exec("INSERT INTO invoices VALUES (1, 100)");
      db.close();
      return path;
    },
  })),
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
    make: newerFile,
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
    const before = filesBeside(dbPath);
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

    expect(filesBeside(dbPath)).toEqual(before);
    expect(stderr.mock.calls.map(([message]) => message)).toEqual([
      "[durable-agent-runner] cannot open the database",
    ]);
    expect(stderr.mock.calls[0]?.[1]).toMatchObject({ code, dbPath });
  });
});

it("a file of a newer release whose process died keeps its WAL, which was never checkpointed", async () => {
  const original = await newerFile();
  const db = new Database(original);
  onTestFinished(() => void db.close());
  db.pragma("wal_autocheckpoint = 0");
  db.exec("INSERT INTO from_the_future VALUES (1)");
  const directory = join(tempDirectory(), "copy");
  // The files as after a crash: the WAL has commits that the file does not have.
  cpSync(dirname(original), directory, { recursive: true });
  const dbPath = join(directory, "threads.db");
  const { "threads.db-shm": _, ...before } = filesIn(directory);
  expect(Object.keys(before)).toEqual(["threads.db", "threads.db-wal"]);
  const runner = openRunner({ dbPath });
  expect(await replayOf(runner, "t")).toMatchObject([{ code: "SCHEMA_TOO_NEW" }]);
  await runner.close();
  // Every process that opens the WAL makes its index again. The index holds no data of its own.
  const { "threads.db-shm": __, ...after } = filesIn(directory);
  expect(after).toEqual(before);
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
    const before = digestOf(dbPath);
    disk.writeProtect();

    const logger = collectingLogger();
    for (const path of [dbPath, join(disk.path, "new.db")]) {
      const runner = openRunner({ dbPath: path, logger });
      const error = { type: "RUN_ERROR", code: "READ_ONLY" };
      expect(await runToEnd(runner, "t", "r", answeringAgent())).toMatchObject([error]);
      expect(await replayOf(runner, "t")).toMatchObject([error]);
      await runner.close();
    }
    expect(digestOf(dbPath)).toBe(before);
    expect(logger.lines.filter(({ level }) => level === "error").length).toBe(2);
  });
});
