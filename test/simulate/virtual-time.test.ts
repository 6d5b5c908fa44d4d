import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { VirtualTime } from "./virtual-time.ts";

const later = async (steps: number, done: () => void) => {
  for (let step = 0; step < steps; step++) await null;
  done();
};

test("what a task promised is settled before the next task, even at the same moment", async () => {
  const time = new VirtualTime();
  const order: string[] = [];
  for (let task = 0; task < 200; task++) {
    time.after(task >> 1, () => {
      order.push(`task ${task}`);
      void later(task % 20, () => order.push(`promise ${task}`));
    });
  }
  await time.runUntil(1000);
  const expected = Array.from({ length: 200 }, (_, task) => [`task ${task}`, `promise ${task}`]);
  expect(order).toEqual(expected.flat());
  expect(time.now).toBe(1000);
});

test("time stands still while nothing is awaited of it, and goes on where it stopped", async () => {
  const time = new VirtualTime();
  const seen: number[] = [];
  for (const at of [1, 5, 9]) time.after(at, () => seen.push(time.now));
  await time.runUntil(5);
  expect(seen).toEqual([1, 5]);
  await time.runUntil(20);
  expect(seen).toEqual([1, 5, 9]);
});

test("a rejection that only the next task handles is found, as Node finds it", () => {
  const script = `
    import { VirtualTime } from ${JSON.stringify(new URL("virtual-time.ts", import.meta.url).href)};
    const found = [];
    process.on("unhandledRejection", (error) => found.push(error));
    process.on("rejectionHandled", () => {});
    const time = new VirtualTime();
    let rejected;
    time.after(1, () => { rejected = Promise.reject("too late"); });
    time.after(1, () => { rejected.catch(() => {}); });
    time.after(2, () => { Promise.reject("in time").catch(() => {}); });
    await time.runUntil(10);
    console.log(found.join());
  `;
  const args = ["--input-type=module", "--eval", script];
  expect(execFileSync(process.execPath, args, { encoding: "utf8" }).trim()).toBe("too late");
});
