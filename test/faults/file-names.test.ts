import "../support/leak-guard.ts";
import { execFileSync } from "node:child_process";
import type * as Fs from "node:fs";
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import Database from "better-sqlite3";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { prepareFile } from "../../workers/sqlite/database/database-file.ts";
import { spawnChild } from "../support/child-process.ts";
import { runRows } from "../support/database-file.ts";
import { openRunner, replayOf, runIdsIn, runToEnd, typesOf } from "../support/open-runner.ts";
import { answeringAgent } from "../support/scripted-agent.ts";
import { tempDatabase, tempDirectory } from "../support/temp-file.ts";

/** The directories that this process has synced. */
const synced = vi.hoisted(() => [] as string[]);

vi.mock("node:fs", async (original) => {
  const fs = await original<typeof Fs>();
  const fsyncSync = (fd: number) => {
    synced.push(fs.readlinkSync(`/proc/self/fd/${fd}`));
    fs.fsyncSync(fd);
  };
  return { ...fs, fsyncSync };
});

async function expectRefused(dbPath: string, code: string, says: RegExp | string): Promise<void> {
  const runner = openRunner({ dbPath });
  const message =
    typeof says === "string" ? expect.stringContaining(says) : expect.stringMatching(says);
  await expect(runner.ready()).rejects.toMatchObject({ code, message });
  const agent = answeringAgent();
  expect(await runToEnd(runner, "t", "r", agent)).toMatchObject([{ type: "RUN_ERROR", code }]);
  expect(agent.inputs).toEqual([]);
  await runner.close();
}

/** A file with one run, closed. */
async function storedFile(): Promise<string> {
  const dbPath = tempDatabase();
  const runner = openRunner({ dbPath });
  await runToEnd(runner, "t", "before", answeringAgent());
  await runner.close();
  return dbPath;
}

async function expectUsable(dbPath: string): Promise<void> {
  const runner = openRunner({ dbPath });
  expect(typesOf(await runToEnd(runner, "t", "r", answeringAgent())).at(-1)).toBe("RUN_FINISHED");
  expect(runIdsIn(await replayOf(runner, "t"))).toContain("r");
  await runner.close();
}

describe("a symbolic link", () => {
  it("to another application's database does not change its WAL", async () => {
    const dbPath = tempDatabase();
    const db = new Database(dbPath);
    db.pragma("journal_mode = WAL");
    db.pragma("wal_autocheckpoint = 0");
    db.exec("CREATE TABLE invoices (id INTEGER PRIMARY KEY); INSERT INTO invoices VALUES (1)");
    // Like the file of a killed process.
    const copy = tempDatabase();
    for (const end of ["", "-wal"]) writeFileSync(copy + end, readFileSync(dbPath + end));
    db.close();
    const before = readFileSync(`${copy}-wal`);
    expect(before.length).toBeGreaterThan(0);
    const link = join(tempDirectory(), "link.db");
    symlinkSync(copy, link);
    await expectRefused(link, "FOREIGN_FILE", "invoices");
    expect(readFileSync(`${copy}-wal`).equals(before)).toBe(true);
  });

  it("and its target are one database", async () => {
    const dbPath = await storedFile();
    const link = join(tempDirectory(), "link.db");
    symlinkSync(dbPath, link);
    const [direct, linked] = [openRunner({ dbPath }), openRunner({ dbPath: link })];
    await runToEnd(direct, "t", "direct", answeringAgent());
    await runToEnd(linked, "t", "linked", answeringAgent());
    expect(runIdsIn(await replayOf(direct, "t"))).toEqual(["before", "direct", "linked"]);
    expect(readdirSync(dirname(link))).toEqual(["link.db"]);
  });

  it("without a target has its target created, private", async () => {
    const target = tempDatabase();
    const link = join(tempDirectory(), "link.db");
    symlinkSync(target, link);
    await expectUsable(link);
    expect(lstatSync(link).isSymbolicLink()).toBe(true);
    expect(statSync(target).mode & 0o777).toBe(0o600);
    expect(runRows(target, "t").length).toBe(1);
  });

  it("into a missing directory is refused, and creates no directory", async () => {
    const directory = join(tempDirectory(), "not-mounted");
    const link = tempDatabase();
    symlinkSync(join(directory, "threads.db"), link);
    await expectRefused(link, "CANNOT_OPEN", `symbolic link into ${directory}`);
    expect(existsSync(directory)).toBe(false);
  });

  it("that leads back to itself is refused", async () => {
    const link = tempDatabase();
    symlinkSync(link, link);
    await expectRefused(link, "CANNOT_OPEN", "leads back to itself");
  });
});

describe("a second name of the file", () => {
  it("by a hard link is refused until the other name is removed", async () => {
    const dbPath = await storedFile();
    const other = join(dirname(dbPath), "other.db");
    linkSync(dbPath, other);
    for (const path of [dbPath, other]) await expectRefused(path, "CANNOT_OPEN", /2 names.*remove/);
    expect(readdirSync(dirname(dbPath)).sort()).toEqual(["other.db", "threads.db"]);
    rmSync(other);
    await expectUsable(dbPath);
  });

  it("that was left when its process was killed is removed", async () => {
    const dbPath = tempDatabase();
    const left = join(dirname(dbPath), ".durable-agent-runner-new-of-a-dead-process");
    writeFileSync(left, "");
    linkSync(left, dbPath);
    await expectUsable(dbPath);
    expect(existsSync(left)).toBe(false);
  });

  it("by a mount of the file alone is refused, but a mount of its directory is not", async ({
    skip,
  }) => {
    const dbPath = await storedFile();
    const file = join(tempDirectory(), "with blank.db");
    writeFileSync(file, "");
    const directory = tempDirectory();
    try {
      execFileSync("mount", ["--bind", dbPath, file], { stdio: "pipe" });
      onTestFinished(() => void execFileSync("umount", ["--lazy", file]));
      execFileSync("mount", ["--bind", dirname(dbPath), directory], { stdio: "pipe" });
      onTestFinished(() => void execFileSync("umount", ["--lazy", directory]));
    } catch (error) {
      skip(`nothing can be mounted here: ${(error as Error).message}`);
    }
    await expectRefused(file, "CANNOT_OPEN", "mount its directory instead");
    await expectUsable(join(directory, "threads.db"));
  });
});

describe("a path that is no regular file is refused at once, and the process ends", () => {
  const makeFifo = (path: string) => void execFileSync("mkfifo", [path]);

  it("a FIFO", async () => {
    const path = tempDatabase();
    makeFifo(path);
    await expectRefused(path, "CANNOT_OPEN", "it is a FIFO, and not a file");
  });

  it("a FIFO at the end of a link", async () => {
    const path = tempDatabase();
    makeFifo(path);
    const link = join(tempDirectory(), "link.db");
    symlinkSync(path, link);
    await expectRefused(link, "CANNOT_OPEN", "it is a FIFO, and not a file");
  });

  it("a FIFO, in a process that only calls process.exit", async () => {
    const path = tempDatabase();
    makeFifo(path);
    const index = JSON.stringify(join(import.meta.dirname, "../../src/index.ts"));
    const script = `
      import { SqliteAgentRunner } from ${index};
      const logger = { debug() {}, info() {}, warn() {}, error() {} };
      const runner = new SqliteAgentRunner({ dbPath: ${JSON.stringify(path)}, logger });
      await runner.ready().catch((error) => process.exit(error.code === "CANNOT_OPEN" ? 7 : 1));
    `;
    const child = spawnChild(process.execPath, ["--input-type=module", "-e", script]);
    expect(await child.exited).toEqual({ code: 7, stderr: "" });
  });

  it("a socket", async () => {
    const path = tempDatabase();
    const server = createServer().listen(path);
    await new Promise((resolve) => server.once("listening", resolve));
    onTestFinished(() => new Promise((resolve) => void server.close(() => resolve())));
    await expectRefused(path, "CANNOT_OPEN", "it is a socket, and not a file");
  });

  it("a device", async () => {
    await expectRefused("/dev/null", "CANNOT_OPEN", "it is a device, and not a file");
  });

  it("a directory", async () => {
    await expectRefused(tempDirectory(), "CANNOT_OPEN", "it is a directory, and not a file");
  });
});

describe("a name that is too long", () => {
  it("for the file system is NAME_TOO_LONG", async () => {
    const path = join(tempDirectory(), "x".repeat(300));
    await expectRefused(
      path,
      "NAME_TOO_LONG",
      'longer than the file system allows with the "-wal"',
    );
  });

  it("only with SQLite's suffixes is NAME_TOO_LONG, and creates no file", async () => {
    const directory = tempDirectory();
    await expectRefused(join(directory, "x".repeat(250)), "NAME_TOO_LONG", "choose a shorter one");
    expect(readdirSync(directory)).toEqual([]);
    await expectUsable(join(directory, "x".repeat(233)));
  });

  it("as a whole path for SQLite is NAME_TOO_LONG, but one byte less is not", async () => {
    let directory = tempDirectory();
    while (directory.length < 390) directory = join(directory, "d".repeat(50));
    mkdirSync(directory, { recursive: true });
    const ofLength = (length: number) => join(directory, "x".repeat(length - directory.length - 1));
    await expectRefused(ofLength(491), "NAME_TOO_LONG", "SQLite allows, which is 490 bytes");
    await expectUsable(ofLength(490));
  });
});

describe.skipIf(process.platform !== "linux")("names that must survive a power cut", () => {
  it("each created directory and the name of a new file are synced", () => {
    const root = tempDirectory();
    synced.length = 0;
    const path = prepareFile(join(root, "a", "b", "threads.db"));
    expect(synced).toEqual([root, join(root, "a"), join(root, "a", "b")]);
    // Another process made the file, and may not have synced its name yet.
    synced.length = 0;
    prepareFile(path);
    expect(synced).toEqual([join(root, "a", "b")]);
    writeFileSync(path, "something");
    synced.length = 0;
    prepareFile(path);
    expect(synced).toEqual([]);
  });
});
