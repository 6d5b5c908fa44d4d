import { execFile } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { mountSmallDisk, type SmallDisk } from "../../../support/small-disk.ts";
import type { LoadProcess } from "../../load-process.ts";
import type { Trap } from "../orders.ts";
import type { SqliteRound } from "../round.ts";

export async function fillDisk(round: SqliteRound): Promise<void> {
  // A quota needs no root rights, and fails at other statements.
  const disk = round.random.chance(0.5) ? mountDisk(round.directory) : null;
  const roomAgainMs = round.random.integer(100, 1200);
  if (disk === null) {
    const skip = round.random.integer(5, 40);
    const act = { kind: "page-quota", liftMs: roomAgainMs } as const;
    const child = round.start("p0", { traps: [{ point: "begin", when: "before", skip, act }] });
    round.detail = `page quota, room again after ${roomAgainMs} ms`;
    await round.untilSprung(child);
    await round.untilReached(child.until("trouble DISK_FULL"));
    await round.pause(roomAgainMs, roomAgainMs + 300);
    proveTrouble(round, child, "DISK_FULL");
    return;
  }
  round.onEnd(disk.unmount);
  round.dbPath = join(disk.path, "threads.db");
  round.detail = `tmpfs, room again after ${roomAgainMs} ms`;
  const child = round.start("p0");
  await child.until("run", round.random.integer(2, 20));
  disk.fill();
  await round.untilReached(child.until("trouble DISK_FULL"));
  proveTrouble(round, child, "DISK_FULL");
  await pause(roomAgainMs);
  disk.clear();
  await round.pause(100, 300);
}

/** A file system of 48 MiB below `directory`; null where none can be mounted. */
export function mountDisk(directory: string): SmallDisk | null {
  const path = join(directory, "disk");
  mkdirSync(path);
  try {
    return mountSmallDisk(path, 48);
  } catch (error) {
    // Only root may mount. The caller uses a quota instead.
    if (error instanceof Error) return null;
    throw error;
  }
}

const MOMENTS: readonly Pick<Trap, "point" | "when">[] = [
  // A BEGIN that fails has begun no transaction.
  { point: "begin", when: "before" },
  { point: "claim", when: "before" },
  { point: "append", when: "before" },
  { point: "append", when: "after" },
  { point: "finish", when: "before" },
  { point: "finish", when: "after" },
  { point: "commit", when: "before" },
  { point: "commit-finish", when: "before" },
  { point: "commit-finish", when: "before" },
  // Harsher than SQLite: the transaction was committed although COMMIT failed.
  { point: "commit", when: "after" },
];

export async function failDisk(round: SqliteRound): Promise<void> {
  const { random } = round;
  const traps = Array.from({ length: 4 }, (): Trap => {
    const code = random.pick(["SQLITE_IOERR_WRITE", "SQLITE_IOERR_FSYNC"]);
    const times = random.integer(1, 3);
    const act = { kind: "sqlite-error", code, times, rollback: random.chance(0.5) } as const;
    return { ...random.pick(MOMENTS), skip: random.integer(0, 20), act };
  });
  const failedSyncs = Array.from({ length: 3 }, () => random.integer(0, 8));
  const moments = traps.map(({ when, point, skip }) => `${when} ${point} ${skip + 1}`);
  round.detail = `${moments.join(", ")}; syncs ${failedSyncs.join(", ")}`;
  const child = round.start("p0", { traps, failedSyncs });
  await round.untilSprung(child);
  await round.untilReached(child.until("trouble IO_ERROR"));
  proveTrouble(round, child, "IO_ERROR");
  const hasFailedSync = await round.untilLogged(child, (records) =>
    records.some((record) => record.what === "trouble" && record.message.startsWith("syncing")),
  );
  round.prove(hasFailedSync, "no sync failed");
  await round.pause(50, 300);
}

const LOCK = fileURLToPath(new URL("../lock.child.ts", import.meta.url));

export async function holdLock(round: SqliteRound): Promise<void> {
  const { random } = round;
  const busyTimeoutMs = random.pick([null, 100, 250]);
  const child = round.start("p0", { busyTimeoutMs });
  await child.until("run", 3);
  for (let time = 0; time < 2; time++) {
    const holdMs = random.integer(300, 1000);
    round.detail += ` ${holdMs} ms`;
    const { stdout } = await promisify(execFile)(process.execPath, [
      LOCK,
      round.dbPath,
      String(holdMs),
    ]);
    const [from = 0, to = 0] = stdout.trim().split("\n").map(Number);
    const endedSince = new Set<string>();
    const waiting = new Set<string>();
    let through = 0;
    for (const record of child.records()) {
      if (record.what === "requested" && record.at < to - 100_000) waiting.add(record.runId);
      if (record.what === "agent-ended" && record.at > from) endedSince.add(record.runId);
      if (record.what !== "completed" || record.at > to) continue;
      waiting.delete(record.runId);
      // Earlier commits may be reported late.
      if (endedSince.has(record.runId)) through++;
    }
    round.prove(waiting.size > 0, "no run waited for the lock");
    round.prove(through === 0, `${through} run(s) were completed while the lock was held`);
    await round.pause(50, 200);
  }
  if (busyTimeoutMs !== null) proveTrouble(round, child, "BUSY");
}

function proveTrouble(round: SqliteRound, child: LoadProcess, code: string): void {
  const happened = child
    .records()
    .some((record) => record.what === "trouble" && record.code === code);
  round.prove(happened, `${child.name} had no ${code}`);
}
