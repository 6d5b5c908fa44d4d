import "../support/leak-guard.ts";
import { chmodSync, existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { SqliteAgentRunner } from "../../src/index.ts";
import { nextLine, spawnChild } from "../support/child-process.ts";
import { runToEnd } from "../support/open-runner.ts";
import { answeringAgent, type ScriptEvent } from "../support/scripted-agent.ts";
import { tempDatabase, tempDirectory } from "../support/temp-file.ts";

const CHILD = fileURLToPath(new URL("fixtures/other-user.child.ts", import.meta.url));
/** "nobody" on most systems; on all of them not root. */
const OTHER = 65_534;

interface Told {
  readonly uid: number;
  readonly run: ScriptEvent[];
  readonly replay: ScriptEvent[];
}

/** The results that a process of another user gets for the file. */
async function askAsOther(dbPath: string, skip: (why: string) => never): Promise<Told> {
  if (process.getuid?.() !== 0) skip("only root can start a process as another user");
  // The child has to read the sources of this project, wherever they are.
  const probe = spawnChild(process.execPath, ["-e", `fs.accessSync(${JSON.stringify(CHILD)})`], {
    uid: OTHER,
    gid: OTHER,
  });
  if ((await probe.exited).code !== 0) skip("another user cannot read the sources of this test");
  const child = spawnChild(process.execPath, [CHILD, dbPath], { uid: OTHER, gid: OTHER });
  const told = JSON.parse(await nextLine(child)) as Told;
  expect(await child.exited).toEqual({ code: 0, stderr: "" });
  expect(told.uid).toBe(OTHER);
  return told;
}

/** A file of this user, with one run. */
async function ownFile(): Promise<string> {
  const dbPath = tempDatabase();
  const runner = new SqliteAgentRunner({ dbPath });
  await runToEnd(runner, "t", "own", answeringAgent());
  await runner.close();
  return dbPath;
}

const errorAbout = (path: string) => ({
  type: "RUN_ERROR",
  code: "READ_ONLY",
  message: expect.stringContaining(path) as string,
});

describe("a process of another user", () => {
  it("gets READ_ONLY for a file that only its owner may read", async ({ skip }) => {
    const dbPath = await ownFile();
    expect(statSync(dbPath).mode & 0o777).toBe(0o600);
    chmodSync(dirname(dbPath), 0o777);
    const before = readFileSync(dbPath);
    const { run, replay } = await askAsOther(dbPath, skip);
    expect(run).toEqual([errorAbout(dbPath)]);
    expect(replay).toEqual([errorAbout(dbPath)]);
    expect(readFileSync(dbPath).equals(before)).toBe(true);
    expect(readdirSync(dirname(dbPath))).toEqual([basename(dbPath)]);
  });

  it("gets READ_ONLY for a file that it may only read", async ({ skip }) => {
    const dbPath = await ownFile();
    chmodSync(dirname(dbPath), 0o755);
    chmodSync(dbPath, 0o644);
    const before = readFileSync(dbPath);
    const { run, replay } = await askAsOther(dbPath, skip);
    expect(run).toEqual([errorAbout(dbPath)]);
    expect(replay).toEqual([errorAbout(dbPath)]);
    expect(readFileSync(dbPath).equals(before)).toBe(true);
  });

  it("gets an error that says why when it may write the file but not its folder", async ({
    skip,
  }) => {
    const dbPath = await ownFile();
    chmodSync(dirname(dbPath), 0o755);
    chmodSync(dbPath, 0o666);
    const { run, replay } = await askAsOther(dbPath, skip);
    // SQLite has to make the WAL beside the file.
    for (const events of [run, replay]) {
      expect(events.length).toBe(1);
      expect(events[0]?.type).toBe("RUN_ERROR");
      expect(["READ_ONLY", "CANNOT_OPEN"]).toContain(events[0]?.code);
      expect(events[0]?.message).toMatch(/SQLITE_(CANTOPEN|READONLY)/);
    }
    expect(readdirSync(dirname(dbPath))).toEqual([basename(dbPath)]);
  });

  it.for([
    ["a new file", "threads.db"],
    ["a new folder", join("folder", "threads.db")],
  ] as const)(
    "gets READ_ONLY for %s in a folder that it may not write to",
    async ([, path], { skip }) => {
      const folder = tempDirectory();
      chmodSync(folder, 0o755);
      const dbPath = join(folder, path);
      const { run, replay } = await askAsOther(dbPath, skip);
      expect(run).toEqual([errorAbout(dbPath)]);
      expect(replay).toEqual([errorAbout(dbPath)]);
      expect(existsSync(dirname(dbPath)) && readdirSync(folder).length > 0).toBe(false);
    },
  );

  it("gets READ_ONLY for a folder that it may not enter", async ({ skip }) => {
    const dbPath = await ownFile();
    expect(statSync(dirname(dbPath)).mode & 0o777).toBe(0o700);
    const { run, replay } = await askAsOther(dbPath, skip);
    expect(run).toEqual([errorAbout(dbPath)]);
    expect(replay).toEqual([errorAbout(dbPath)]);
  });
});
