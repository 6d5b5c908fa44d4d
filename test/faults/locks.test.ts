import "../support/leak-guard.ts";
import { existsSync, readFileSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { type Child, nextLine, spawnChild } from "../support/child-process.ts";
import { valueIn } from "../support/database-file.ts";
import { openRunner, runToEnd } from "../support/open-runner.ts";
import { outsideSqlites } from "../support/outside-sqlite.ts";
import { answeringAgent } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const CHILD = fileURLToPath(new URL("fixtures/outside-look.child.ts", import.meta.url));

/** Where SQLite's shared lock begins. https://www.sqlite.org/src/file/src/os.h */
const SHARED_FIRST = 0x40000002;

/** Whether the process has SQLite's shared lock on the file, according to the kernel. */
function hasLock(dbPath: string, pid: number | undefined): boolean {
  const { ino } = statSync(dbPath);
  const marks = [` ${pid} `, `:${ino} ${SHARED_FIRST} `];
  const lines = readFileSync("/proc/locks", "utf8").split("\n");
  return lines.some((line) => marks.every((mark) => line.includes(mark)));
}

const isLinux = process.platform === "linux";

describe.skipIf(!isLinux)("SQLite's lock on the file (/proc/locks, which only Linux has)", () => {
  it("is kept when a second runner of the process opens the file, and when that runner closes", async () => {
    const dbPath = tempDatabase();
    const runner = openRunner({ dbPath });
    await runToEnd(runner, "t", "r", answeringAgent());
    expect(hasLock(dbPath, process.pid)).toBe(true);
    const second = openRunner({ dbPath });
    await second.ready();
    expect(hasLock(dbPath, process.pid)).toBe(true);
    await second.close();
    expect(hasLock(dbPath, process.pid)).toBe(true);
  });

  it("is held when two runners of the process create the file at the same time", async () => {
    for (let time = 0; time < 10; time++) {
      const dbPath = tempDatabase();
      const runners = [openRunner({ dbPath }), openRunner({ dbPath })];
      await Promise.all(runners.map((runner) => runner.ready()));
      expect(hasLock(dbPath, process.pid)).toBe(true);
      await Promise.all(runners.map((runner) => runner.close()));
    }
  });

  it("is kept when a dead writer is replaced while a reader has the file open", async () => {
    const dbPath = tempDatabase();
    const child = spawnChild(process.execPath, [CHILD, dbPath, "writer-replaced"]);
    expect(await nextLine(child)).toBe("open");
    expect(hasLock(dbPath, child.process.pid)).toBe(true);
    await child.kill();
  });
});

const COUNT = "SELECT count(*) FROM agent_runs";

async function storeMore(child: Child): Promise<number> {
  child.process.stdin?.write("more\n");
  const [, stored] = (await nextLine(child)).split(" ");
  return Number(stored);
}

describe.each(["second-runner", "writer-replaced"])("in the situation %s", (situation) => {
  it.for(outsideSqlites())(
    "reading the file with $name loses no run that was acknowledged before or after",
    async ({ ask, unfit }, { skip }) => {
      if (unfit !== null) skip(unfit);
      const dbPath = tempDatabase();
      const child = spawnChild(process.execPath, [CHILD, dbPath, situation]);
      expect(await nextLine(child)).toBe("open");
      const before = await storeMore(child);
      expect(Number(ask(dbPath, COUNT))).toBe(before);
      const stored = await storeMore(child);
      expect(existsSync(`${dbPath}-wal`)).toBe(true);
      await child.kill();
      expect(valueIn(dbPath, COUNT)).toBe(stored);
    },
  );
});
