import "../support/leak-guard.ts";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Worker } from "node:worker_threads";
import { beforeEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { WorkerPool, type WorkerPoolOptions } from "../../src/store/worker-threads/worker-pool.ts";
import { spawnChild } from "../support/child-process.ts";
import { eventually } from "../support/poll.ts";
import { replacedWorker } from "../support/replaced-worker.ts";
import { tempDirectory } from "../support/temp-file.ts";
import { exitOf, threadsStarted } from "../support/threads-started.ts";

vi.mock("piscina", async (original) => {
  // Mocks come before all imports.
  const { replaceWorker } = await import("../support/replaced-worker.ts");
  return replaceWorker(await original());
});

beforeEach(() => {
  replacedWorker.filename = "";
});

const config = { dbPath: ":memory:", instanceId: "i", leaseMs: 1000, file: null } as const;

function openPool(fixture: string, options: Partial<WorkerPoolOptions> = {}): WorkerPool<object> {
  replacedWorker.filename = fileURLToPath(new URL(`fixtures/${fixture}.ts`, import.meta.url));
  const pool = new WorkerPool<object>({
    worker: "writer",
    threads: 1,
    config,
    diedCode: "WRITER_DIED",
    ...options,
  });
  onTestFinished(() => pool.destroy());
  return pool;
}

const reader = { worker: "reader", diedCode: "READER_DIED" } as const;

describe.each([
  ["the writer's pool", {}, "WRITER_DIED"],
  ["a pool of one reader", reader, "READER_DIED"],
  ["a pool of two readers", { ...reader, threads: 2 }, "READER_DIED"],
] as const)("%s", (_name, options, code) => {
  it.each(["exits-at-import", "throws-at-import"])(
    "rejects each request when its worker %s",
    async (fixture) => {
      const pool = openPool(fixture, options);
      for (let request = 0; request < 4; request++) {
        await expect(pool.request({})).rejects.toMatchObject({ code });
      }
      // Requests that are made together are rejected too.
      const together = await Promise.allSettled([pool.request({}), pool.request({})]);
      for (const outcome of together) expect(outcome).toMatchObject({ reason: { code } });
    },
  );

  it("rejects a request whose thread ends before its answer, and starts another thread", async () => {
    const pool = openPool("exits-on-second", { ...options, threads: 1 });
    for (let round = 0; round < 3; round++) {
      await expect(pool.request<number>({})).resolves.toBeTypeOf("number");
      await expect(pool.request({})).rejects.toMatchObject({ code });
    }
  });

  it("answers after a thread threw between two requests", async () => {
    const threads = threadsStarted();
    const directory = tempDirectory();
    const pool = openPool("throws-later", { ...options, threads: 1 });
    const answered: number[] = [];
    for (let round = 0; round < 3; round++) {
      const signalPath = join(directory, `round ${round}`);
      const answer = await pool.request<number>({ signalPath });
      answered.push(answer);
      const thread = threads.find(({ threadId }) => threadId === answer);
      const exit = exitOf(thread as Worker);
      writeFileSync(signalPath, "");
      await exit;
    }
    expect(new Set(answered).size).toBe(3);
  });

  it("treats an error that a worker throws as a fault of that request alone", async () => {
    const pool = openPool("throws", options);
    await expect(pool.request({})).rejects.toMatchObject({
      code,
      message: expect.stringContaining("thrown across the boundary"),
    });
  });

  it("does not take a request that cannot be sent for the end of its thread", async () => {
    const pool = openPool("exits-on-second", { ...options, threads: 1 });
    await expect(pool.request({ callback() {} })).rejects.toMatchObject({ code: "STORE_FAILED" });
    await expect(pool.request<number>({})).resolves.toBeTypeOf("number");
  });

  it("rejects a request that hangs when the pool is destroyed", async () => {
    const threads = threadsStarted();
    const pool = openPool("hangs", options);
    const outcomes = Promise.allSettled([pool.request({}), pool.request({}), pool.request({})]);
    await eventually(() => threads.length > 0);
    const exits = threads.map(exitOf);
    await pool.destroy();
    for (const outcome of await outcomes) {
      expect(outcome).toMatchObject({ status: "rejected", reason: { code } });
    }
    await Promise.all(exits);
    await expect(pool.request({})).rejects.toMatchObject({ code: "RUNNER_CLOSED" });
  });
});

it("rejects a request whose thread is terminated before it was ready", async () => {
  const threads = threadsStarted({ onStart: (thread) => void thread.terminate() });
  const pool = openPool("hangs", reader);
  await expect(pool.request({})).rejects.toMatchObject({ code: "READER_DIED" });
  expect(threads.length).toBeGreaterThan(0);
});

it("goes on with the threads that there are when the system refuses more", async () => {
  const child = fileURLToPath(new URL("fixtures/refused-threads.child.ts", import.meta.url));
  expect(await spawnChild(process.execPath, [child]).exited).toEqual({ code: 0, stderr: "" });
});
