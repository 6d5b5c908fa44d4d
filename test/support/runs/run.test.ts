import "../leak-guard.ts";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { tempDirectory } from "../temp-file.ts";

const RUN = fileURLToPath(new URL("../run.ts", import.meta.url));
const CONFIG = fileURLToPath(new URL("./vitest.config.ts", import.meta.url));

/** Runs fixtures with `npm test`: its exit code, what it printed, and the list at the end of that. */
function run(...fixtures: readonly string[]) {
  const files = fixtures.map((name) => `runs/${name}.fixture.ts`);
  const env = { ...process.env, DIED_ONCE: join(tempDirectory(), "died-once") };
  return new Promise<{ code: number | null; said: string; list: string[] }>((resolve) => {
    const child = execFile(
      process.execPath,
      [RUN, "--config", CONFIG, ...files],
      { env },
      (_error, stdout, stderr) => {
        const at = stdout.search(/^== /m);
        const list = at < 0 ? [] : stdout.slice(at).trim().split("\n");
        resolve({ code: child.exitCode, said: stdout + stderr, list });
      },
    );
  });
}

const PATH = "test/support/runs";

test("a run without failures ends without a list", async () => {
  expect(await run("passes")).toMatchObject({ code: 0, list: [] });
});

test("the log ends with what failed, each in a line", async () => {
  const { code, list } = await run("passes", "fails", "broken");
  expect(code).toBe(1);
  expect(list.toSorted()).toEqual([
    "== 4 failed",
    "ERROR nobody waits for this",
    `FAIL  ${PATH}/broken.fixture.ts: cannot be loaded`,
    `FAIL  ${PATH}/fails.fixture.ts > a group: no ground to stand on`,
    `FAIL  ${PATH}/fails.fixture.ts > fails: expected 'one' to be 'two' // Object.is equality`,
  ]);
});

test("a file whose process died is run again, which is printed, and may pass", async () => {
  const { code, said, list } = await run("passes", "dies-once");
  expect(said).toContain(
    `SIGABRT ended the process of ${PATH}/dies-once.fixture.ts: it is run again, alone.`,
  );
  expect(list).toEqual([
    "== 1 died, and passed when run again",
    `AGAIN ${PATH}/dies-once.fixture.ts: SIGABRT`,
  ]);
  expect(code).toBe(0);
});

test("a file whose process dies again has failed, and its last words are repeated", async () => {
  const { code, said, list } = await run("dies");
  expect(said.split("these are my last words").length).toBeGreaterThan(2);
  expect(list[1]).toBe(
    `DIED  ${PATH}/dies.fixture.ts: SIGSEGV, and it failed when it was run again`,
  );
  expect(code).toBe(1);
});

test("a file is not run again if one of its tests had failed before its process died", async () => {
  const { code, said, list } = await run("fails-and-dies");
  expect(said).not.toContain("run again, alone");
  expect(list).toEqual([
    "== 2 failed",
    `DIED  ${PATH}/fails-and-dies.fixture.ts: SIGSEGV, not run again`,
    `FAIL  ${PATH}/fails-and-dies.fixture.ts > fails first: expected 'one' to be 'two' // Object.is equality`,
  ]);
  expect(code).toBe(1);
});

test("a failure elsewhere counts, also when the dead file passes when it is run again", async () => {
  const { code, list } = await run("dies-once", "broken");
  expect(list).toEqual([
    "== 1 died, and passed when run again",
    `AGAIN ${PATH}/dies-once.fixture.ts: SIGABRT`,
    "== 1 failed",
    `FAIL  ${PATH}/broken.fixture.ts: cannot be loaded`,
  ]);
  expect(code).toBe(1);
});
