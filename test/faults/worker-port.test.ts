import "../support/leak-guard.ts";
import { fileURLToPath } from "node:url";
import { beforeEach, expect, it, onTestFinished, vi } from "vitest";
import { WorkerPort, type WorkerPortOptions } from "../../src/store/worker-threads/worker-port.ts";
import { replacedWorker } from "../support/replaced-worker.ts";
import { threadsStarted } from "../support/threads-started.ts";
import type { Order } from "./fixtures/port-thread.ts";

vi.mock("piscina", async (original) => {
  // Mocks come before all imports.
  const { replaceWorker } = await import("../support/replaced-worker.ts");
  return replaceWorker(await original());
});

beforeEach(() => {
  replacedWorker.filename = "";
});

const DIED = { code: "WRITER_DIED" };

function openPort(
  fixture = "port-thread",
  options: Partial<WorkerPortOptions> = {},
): WorkerPort<Order> {
  replacedWorker.filename = fileURLToPath(new URL(`fixtures/${fixture}.ts`, import.meta.url));
  const port = new WorkerPort<Order>({
    worker: "writer",
    config: { dbPath: ":memory:", instanceId: "i", leaseMs: 1000, file: null },
    diedCode: "WRITER_DIED",
    ...options,
  });
  onTestFinished(() => port.destroy());
  return port;
}

it("answers each request of many, also when an earlier one has no answer yet", async () => {
  const port = openPort();
  const hanging = port.request("hang");
  const answers = await Promise.all(Array.from({ length: 100 }, () => port.request("answer")));
  expect(new Set(answers).size).toBe(1);
  await expect(port.request("fail")).rejects.toMatchObject({
    code: "DISK_FULL",
    message: "no room",
  });
  const rejected = expect(hanging).rejects.toMatchObject(DIED);
  await port.destroy();
  await rejected;
  await expect(port.request("answer")).rejects.toMatchObject({ code: "RUNNER_CLOSED" });
});

it.each(["exits-at-import", "throws-at-import"])(
  "rejects each request when its worker %s",
  async (fixture) => {
    const port = openPort(fixture);
    for (let request = 0; request < 3; request++) {
      await expect(port.request("answer")).rejects.toMatchObject(DIED);
    }
    const together = await Promise.allSettled([port.request("answer"), port.request("answer")]);
    for (const outcome of together) expect(outcome).toMatchObject({ reason: DIED });
  },
);

it.each(["exit", "throw"] as const)(
  "rejects what a thread has not answered when it dies (%s), and goes on with another thread",
  async (order) => {
    const causes: unknown[] = [];
    const port = openPort("port-thread", { onDied: (cause) => causes.push(cause) });
    const threads = new Set<number>();
    for (let round = 0; round < 5; round++) {
      const before = port.request<number>("answer");
      const outcomes = Promise.allSettled([
        port.request("hang"),
        port.request(order),
        port.request("answer"),
      ]);
      threads.add(await before);
      for (const outcome of await outcomes) expect(outcome).toMatchObject({ reason: DIED });
      // The end of the thread was told before its requests were rejected.
      expect(causes).toHaveLength(round + 1);
    }
    expect(threads.size).toBe(5);
    if (order === "throw") expect(String(causes[0])).toContain("thrown outside any answer");
  },
);

it("resolves a request that the thread has answered before it died", async () => {
  const port = openPort();
  const threads = new Set<number>();
  for (let round = 0; round < 5; round++) {
    const last = port.request<number>("answer and exit");
    const behind = port.request("answer");
    await expect(behind).rejects.toMatchObject(DIED);
    threads.add(await last);
  }
  expect(threads.size).toBe(5);
});

it("rejects a request whose thread is terminated before it was ready", async () => {
  const threads = threadsStarted({ onStart: (thread) => void thread.terminate() });
  const port = openPort();
  await expect(port.request("answer")).rejects.toMatchObject(DIED);
  expect(threads.length).toBeGreaterThan(0);
});
