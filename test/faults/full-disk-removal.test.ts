import "../support/leak-guard.ts";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { SqliteAgentRunner } from "../../src/index.ts";
import { emptyWal } from "../support/database-file.ts";
import { enlargeThread } from "../support/large-thread.ts";
import { openRunner, replayOf, runIdsIn, runToEnd } from "../support/open-runner.ts";
import { answeringAgent } from "../support/scripted-agent.ts";
import { tinyDisk } from "../support/tiny-disk.ts";

const REMOVALS: Readonly<Record<string, (runner: SqliteAgentRunner) => Promise<unknown>>> = {
  delete: (runner) => runner.threads.delete("t"),
  erase: (runner) => runner.threads.erase({ threadId: "t" }),
  purge: (runner) => runner.purge({ maxRunsPerThread: 1 }),
  fork: (runner) => runner.threads.fork("t", { newThreadId: "f" }),
};

describe("on a full disk", () => {
  test.for(Object.keys(REMOVALS))(
    "%s fails and harms nothing, and works when there is room",
    async (name, { skip }) => {
      const disk = tinyDisk(skip);
      const dbPath = join(disk.path, "threads.db");
      const runner = openRunner({ dbPath });
      await runToEnd(runner, "t", "r1", answeringAgent());
      await runToEnd(runner, "kept", "r1", answeringAgent());
      enlargeThread(dbPath, "t", 2000);
      // Else the removal finds room in the WAL.
      await emptyWal(dbPath);
      const act = REMOVALS[name] ?? expect.fail();
      disk.fill();
      const failure = await act(runner).catch((error: { code: string }) => error);
      disk.clear();
      expect(failure).toMatchObject({ code: "DISK_FULL" });
      expect(runIdsIn(await replayOf(runner, "kept"))).toEqual(["r1"]);
      // A removal that had begun before the disk was full is not begun again.
      await act(runner).catch((error: { code: string }) =>
        expect(error.code).toMatch(/^THREAD_(NOT_FOUND|EXISTS)$/),
      );
      const left = runIdsIn(await replayOf(runner, "t")).length;
      expect(left).toBe({ delete: 0, erase: 0, purge: 1, fork: 2001 }[name]);
      await runToEnd(runner, "kept", "r2", answeringAgent());
      expect(runIdsIn(await replayOf(runner, "kept"))).toEqual(["r1", "r2"]);
    },
  );
});
