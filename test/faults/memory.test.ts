import "../support/leak-guard.ts";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { count, lastValueFrom } from "rxjs";
import { describe, expect, it } from "vitest";
import { nextLine, spawnChild } from "../support/child-process.ts";
import { valueIn } from "../support/database-file.ts";
import { openRunner } from "../support/open-runner.ts";
import { tempDatabase } from "../support/temp-file.ts";

const MILLION = fileURLToPath(new URL("fixtures/million.child.ts", import.meta.url));
const MB = 1_000_000;

/** How many events another runner replays. */
async function replayedFrom(dbPath: string): Promise<number> {
  const runner = openRunner({ dbPath });
  return lastValueFrom(runner.connect({ threadId: "t" }).pipe(count()));
}

interface Took {
  readonly events: number;
  readonly peakBytes: number;
  readonly mainBytes: number;
  readonly late: number;
}

describe("a run of a million small events without subscribers", () => {
  it.skipIf(!existsSync("/proc/self/status"))(
    "stays under 400 MB, worker threads included (measured where there is a /proc)",
    async () => {
      const dbPath = tempDatabase();
      // Without the option, V8 makes its young generation larger the more memory the machine has.
      const args = ["--max-semi-space-size=16", MILLION, dbPath, "1000000"];
      const child = spawnChild(process.execPath, args);
      const took = JSON.parse(await nextLine(child)) as Took;
      expect(await child.exited).toEqual({ code: 0, stderr: "" });
      expect(took.events).toBeGreaterThanOrEqual(1_000_000);
      // A new subscriber gets the whole stream, although most of it is packed.
      expect(took.late).toBe(took.events);
      expect(took.peakBytes).toBeLessThan(400 * MB);
      expect(took.mainBytes).toBeLessThan(150 * MB);
      // All of it is stored: each turn has 484 events, whose deltas merge to 6.
      const turns = (took.events - 2) / 484;
      const last = `message-${turns - 1}`;
      expect(
        valueIn(dbPath, "SELECT count(*) FROM thread_messages WHERE message_id = ?", last),
      ).toBe(1);
      expect(await replayedFrom(dbPath)).toBe(2 + turns * 6);
    },
  );
});

describe("a run of a million small events that cannot be merged", () => {
  it.skipIf(!existsSync("/proc/self/status"))(
    "stays under 550 MB, worker threads included",
    async () => {
      const dbPath = tempDatabase();
      const args = ["--max-semi-space-size=16", MILLION, dbPath, "1000000", "steps"];
      const child = spawnChild(process.execPath, args);
      const took = JSON.parse(await nextLine(child)) as Took;
      expect(await child.exited).toEqual({ code: 0, stderr: "" });
      expect(took.late).toBe(took.events);
      expect(took.peakBytes).toBeLessThan(550 * MB);
      expect(await replayedFrom(dbPath)).toBe(took.events);
    },
  );
});
