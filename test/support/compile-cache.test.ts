import "./leak-guard.ts";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { expect, test } from "vitest";
import { ROOT } from "./build.ts";
import { tempDirectory } from "./temp-file.ts";

/** Whether a thread that imports the file loads Node's type stripper. */
async function stripsTypes(file: string): Promise<boolean> {
  const script = `
    const { parentPort, workerData } = require("node:worker_threads");
    import(workerData).then(() => {
      parentPort.postMessage(process.moduleLoadList.some((name) => name.includes("amaro")));
      process.exit();
    });
  `;
  const thread = new Worker(script, { eval: true, workerData: file });
  const exited = new Promise((resolve) => thread.once("exit", resolve));
  const answer = await new Promise<boolean>((resolve, reject) => {
    thread.once("message", resolve).once("error", reject);
  });
  await exited;
  return answer;
}

test.each(["writer", "reader", "backup"])(
  "the %s thread strips no types in tests",
  async (name) => {
    expect(await stripsTypes(join(ROOT, `workers/${name}.ts`))).toBe(false);
  },
);

test("a thread strips the types of a file that no process has loaded", async () => {
  const file = join(tempDirectory(), "new.ts");
  writeFileSync(file, `export const at: number = ${Date.now()};`);
  expect(await stripsTypes(file)).toBe(true);
});
