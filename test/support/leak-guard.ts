import { readdirSync, readlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Worker } from "node:worker_threads";
import { afterAll, beforeEach, onTestFinished } from "vitest";

/*
 * Import this in a test file. A test then fails if it leaves a worker thread, an open file, or anything
 * else that keeps the event loop alive. For timers, the whole file fails, because vitest has timers of
 * its own during a test.
 *
 * The check is registered first and so runs last, after all clean-up. It waits for objects that are
 * being released, such as a thread that ends: only a leak makes it wait for long.
 */
const PATIENCE_MS = 30_000;

const TIMERS: ReadonlySet<string> = new Set(["Timeout", "Immediate"]);

const workers = new Set<Worker>();
process.on("worker", (worker) => {
  workers.add(worker);
  worker.once("exit", () => workers.delete(worker));
});

/** Paths of open files that tests made. Only Linux lists them. */
function openTestFiles(): string[] {
  const paths: string[] = [];
  try {
    for (const fd of readdirSync("/proc/self/fd")) {
      try {
        const path = readlinkSync(join("/proc/self/fd", fd));
        if (path.startsWith(tmpdir()) && path.includes("durable-agent-runner")) paths.push(path);
      } catch {
        // Closed meanwhile.
      }
    }
  } catch {
    // No /proc here.
  }
  return paths;
}

/** The resources that keep the event loop alive, by kind. */
export function activeResources(): Map<string, number> {
  const counts = new Map<string, number>();
  for (const name of process.getActiveResourcesInfo()) {
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return counts;
}

/** Describes the resources that are there now and were not there before. */
function leaksSince(before: ReadonlyMap<string, number>, timers: boolean): string[] {
  const leaks: string[] = [];
  for (const worker of workers) leaks.push(`worker thread ${worker.threadId}`);
  for (const [name, count] of activeResources()) {
    if (TIMERS.has(name) && !timers) continue;
    // A timer that was there before belongs to vitest and ends by itself: it must not count as a leak.
    const more = TIMERS.has(name) ? count : count - (before.get(name) ?? 0);
    if (more > 0) leaks.push(`${more} active ${name}`);
  }
  for (const path of openTestFiles()) leaks.push(`open file ${path}`);
  return leaks;
}

export interface LeakOptions {
  readonly timers: boolean;
  readonly patienceMs?: number;
}

/** Rejects when resources that leaked since `before` are not released. */
export async function expectNoLeaks(
  before: ReadonlyMap<string, number>,
  { timers, patienceMs = PATIENCE_MS }: LeakOptions,
): Promise<void> {
  const deadline = performance.now() + patienceMs;
  // A worker thread that was started in this turn is visible in the next turn.
  await nextTurn();
  let leaks = leaksSince(before, timers);
  while (leaks.length > 0 && performance.now() < deadline) {
    await nextTurn();
    leaks = leaksSince(before, timers);
  }
  if (leaks.length > 0) throw new Error(`the test left behind: ${leaks.join(", ")}`);
}

const atImport = activeResources();

beforeEach(() => {
  const before = activeResources();
  onTestFinished(() => expectNoLeaks(before, { timers: false }));
});

afterAll(() => expectNoLeaks(atImport, { timers: true }));
