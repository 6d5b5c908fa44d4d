import { execFile, spawn } from "node:child_process";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { LoadProcess } from "../../load-process.ts";
import { type LogRecord, now } from "../../log.ts";
import { canMakePidNamespaces } from "../namespaces.ts";
import { signOfLock } from "../orders.ts";
import type { SqliteRound } from "../round.ts";
import { mountDisk } from "./disk.ts";

const LEASE_MS = 500;
/** How long a process may take to notice that another process is dead, when the kernel can tell. */
const TAKE_OVER_MS = 4000;
const LOCK = fileURLToPath(new URL("../lock.child.ts", import.meta.url));

/** Another program holds the write lock for longer than a lease; a writer may die meanwhile. */
export async function lockPastLease(round: SqliteRound): Promise<void> {
  const { random } = round;
  const way = random.pick(["writers live", "a writer dies", "a claim's answer is lost"] as const);
  round.detail = way;
  if (way === "writers live") {
    await twoProcesses(round);
    for (let time = 0; time < 2; time++) {
      const holdMs = random.integer(3 * LEASE_MS, 5 * LEASE_MS);
      await promisify(execFile)(process.execPath, [LOCK, round.dbPath, String(holdMs)]);
      await round.pause(100, 800);
    }
    return;
  }
  const isLost = way === "a claim's answer is lost";
  // After 5 s of failures, a store rejects waiting claims.
  const holdMs = isLost ? 6500 : random.integer(3 * LEASE_MS, 6 * LEASE_MS);
  const child = round.start("p0", {
    leaseMs: LEASE_MS,
    mix: "many-silent",
    busyTimeoutMs: 100,
    shyMs: isLost ? 7000 : 0,
    traps: [
      {
        point: isLost ? "commit-claim" : "commit-append",
        when: "after",
        skip: random.integer(3, 12),
        act: { kind: "exit-under-lock" },
      },
    ],
  });
  const sign = signOfLock(child.orders.logPath);
  const args = [LOCK, round.dbPath, String(holdMs), sign];
  const locker = spawn(process.execPath, args, { stdio: "ignore" });
  round.onEnd(() => void locker.kill());
  const other = round.start("p1", { leaseMs: LEASE_MS });
  await other.until("run", 2);
  await round.untilSprung(child);
  await pause(holdMs + (isLost ? 6500 : 1500));
}

/** The disk is full for longer than a lease. */
export async function diskFullPastLease(round: SqliteRound): Promise<void> {
  const disk = mountDisk(round.directory);
  if (disk === null) {
    round.detail = "no disk can be mounted here: nothing was broken";
    return;
  }
  round.onEnd(disk.unmount);
  round.dbPath = join(disk.path, "threads.db");
  const children = await twoProcesses(round);
  const fullMs = round.random.integer(3 * LEASE_MS, 5 * LEASE_MS);
  round.detail = `${fullMs} ms`;
  disk.fill();
  const isFull = (child: LoadProcess) => child.until("trouble DISK_FULL");
  await round.untilReached(Promise.race(children.map(isFull)));
  await pause(fullMs);
  disk.clear();
  await round.pause(500, 1000);
  const hasFelt = ({ what, ...record }: LogRecord) =>
    what === "trouble" && "code" in record && record.code === "DISK_FULL";
  round.prove(
    children.some((child) => child.records().some(hasFelt)),
    "no process had DISK_FULL",
  );
}

/** Long runs end together, so that a transaction takes longer than a lease. */
export async function longFinishes(round: SqliteRound): Promise<void> {
  const ms = round.random.integer(200, 400);
  round.detail = `${ms} ms each`;
  const traps = [
    { point: "finish", when: "before", skip: 5, act: { kind: "slow", ms, times: 15 } },
  ] as const;
  const slow = round.start("slow", { leaseMs: LEASE_MS, mix: "many-silent", traps });
  const other = round.start("other", { leaseMs: LEASE_MS });
  await other.until("run", 2);
  await round.untilSprung(slow);
  await slow.until("run", 20);
  await round.pause(500, 1500);
}

/**
 * A process in another pid namespace is killed. Its threads have to be free long before its lease ends.
 */
export async function killInNamespace(round: SqliteRound): Promise<void> {
  const isPossible = canMakePidNamespaces();
  if (!isPossible) round.detail = "no pid namespace can be made here: killed in this one";
  const victim = round.start("victim", { mix: "many-silent", newPidNamespace: isPossible });
  const other = round.start("other");
  await Promise.all([victim.until("run", 3), other.until("run", 3)]);
  await round.pause(50, 300);
  const held = new Set<string>();
  for (const record of victim.records()) {
    if (record.what === "agent-started") held.add(record.threadId);
  }
  const killedAt = now();
  await victim.kill();
  const isTaken = await round.untilLogged(
    other,
    (records) => {
      const taken = records.filter((each) => each.what === "agent-started" && each.at > killedAt);
      return [...held].every((threadId) =>
        taken.some((each) => each.what === "agent-started" && each.threadId === threadId),
      );
    },
    TAKE_OVER_MS,
  );
  round.prove(isTaken, "a thread of the killed process was not free within 4 s");
}

async function twoProcesses(round: SqliteRound): Promise<LoadProcess[]> {
  const names = ["p0", "p1"];
  const children = names.map((name) =>
    round.start(name, { leaseMs: LEASE_MS, mix: "many-silent" }),
  );
  await Promise.all(children.map((child) => child.until("run", 3)));
  return children;
}
