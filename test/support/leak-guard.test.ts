import { Worker } from "node:worker_threads";
import { expect, test } from "vitest";
import { activeResources, expectNoLeaks } from "./leak-guard.ts";

test("the leak guard sees a worker thread that was left behind", async () => {
  const before = activeResources();
  const worker = new Worker("setInterval(() => {}, 1000)", { eval: true });
  worker.unref();
  await expect(expectNoLeaks(before, { timers: true, patienceMs: 100 })).rejects.toThrow(
    "worker thread",
  );
  await worker.terminate();
  await expectNoLeaks(before, { timers: true });
});

test("the leak guard sees a timer that was left behind", async () => {
  const before = activeResources();
  const timer = setTimeout(() => undefined, 60_000);
  await expect(expectNoLeaks(before, { timers: true, patienceMs: 100 })).rejects.toThrow("Timeout");
  clearTimeout(timer);
  await expectNoLeaks(before, { timers: true });
});
