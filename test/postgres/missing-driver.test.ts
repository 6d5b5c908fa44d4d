import { execFile } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { ROOT } from "../support/build.ts";
import { tempDirectory } from "../support/temp-file.ts";

const SCRIPT = `
import { lastValueFrom, toArray } from "rxjs";
import { SqliteAgentRunner } from "./src/index.ts";
import { PostgresAgentRunner } from "./src/postgres.ts";

const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const connectionString = "postgres://user:hidden@127.0.0.1/database";
const runner = new PostgresAgentRunner({ connectionString, logger: quiet });
const ready = await runner.ready().then(() => null, ({ code, message }) => ({ code, message }));
const events = await lastValueFrom(runner.connect({ threadId: "t" }).pipe(toArray()));
await runner.close();
const file = new SqliteAgentRunner({ dbPath: ":memory:", logger: quiet });
const isFileReady = await file.ready().then(() => true);
await file.close();
console.log(JSON.stringify({ ready, events, isFileReady }));
`;

/** The package with its dependencies, and without what a user has to install beside it. */
function packageWithoutPeers(): string {
  const directory = tempDirectory();
  for (const path of ["package.json", "src", "workers"]) {
    cpSync(join(ROOT, path), join(directory, path), { recursive: true });
  }
  const { dependencies } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
    readonly dependencies: Record<string, string>;
  };
  for (const name of Object.keys(dependencies)) {
    const path = join("node_modules", name);
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    symlinkSync(join(ROOT, path), join(directory, path));
  }
  writeFileSync(join(directory, "script.ts"), SCRIPT);
  return directory;
}

test("without the package pg, every use says how to install it; the runner on a file needs none", async () => {
  const { stdout } = await promisify(execFile)(process.execPath, ["script.ts"], {
    cwd: packageWithoutPeers(),
  });
  const { ready, events, isFileReady } = JSON.parse(stdout);
  expect(ready.code).toBe("CANNOT_OPEN");
  expect(ready.message).toContain('the package "pg" could not be loaded');
  expect(ready.message).toContain("npm install pg");
  expect(events).toMatchObject([
    { type: "RUN_ERROR", code: "CANNOT_OPEN", message: ready.message },
  ]);
  expect(isFileReady).toBe(true);
});
