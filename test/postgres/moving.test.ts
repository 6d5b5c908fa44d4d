import "../support/leak-guard.ts";
import { randomBytes } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  exportThreads,
  fromNdjson,
  importThreads,
  type SqliteAgentRunner,
  toNdjson,
} from "../../src/index.ts";
import { PostgresAgentRunner } from "../../src/postgres.ts";
import { version1Files } from "../fixtures/sources.ts";
import { nextLine, spawnChild } from "../support/child-process.ts";
import { allIds, moveAll, recordsOf, shownOf } from "../support/moving.ts";
import { collectingLogger, openRunner, runToEnd } from "../support/open-runner.ts";
import { type PostgresServer, startPostgres } from "../support/postgres.ts";
import { newSchema } from "../support/postgres-store.ts";
import { checkRandomMoves } from "../support/random-moves.ts";
import { answeringAgent, scriptedAgent } from "../support/scripted-agent.ts";
import { tempDatabase } from "../support/temp-file.ts";

const CHILD = `${import.meta.dirname}/../faults/fixtures/import.child.ts`;

let server: PostgresServer;
let connectionString: string;

beforeAll(async () => {
  server = await startPostgres();
  connectionString = await server.newDatabase();
});

afterAll(() => server.stop());

/** The caller closes it. */
function onPostgres(schema = newSchema()): SqliteAgentRunner {
  const options = { storeInput: "full", logger: collectingLogger() } as const;
  return new PostgresAgentRunner({ connectionString, schema, ...options });
}

const onSqlite = () => openRunner({ dbPath: tempDatabase(), storeInput: "full" });

describe("random threads, and what comes of their next runs, are the same after a move", () => {
  test("from a file to PostgreSQL", async () => {
    await checkRandomMoves(onSqlite, onPostgres, { numRuns: 5 });
  });

  test("from PostgreSQL to a file", async () => {
    await checkRandomMoves(onPostgres, onSqlite, { numRuns: 5 });
  });

  test("from PostgreSQL to PostgreSQL", async () => {
    await checkRandomMoves(onPostgres, onPostgres, { numRuns: 5 });
  });
});

describe.each(version1Files)("a file of version 1, $name", ({ copy }) => {
  test("is moved to PostgreSQL, and back to a file", async () => {
    const [from, via, to] = [openRunner({ dbPath: copy() }), onPostgres(), onSqlite()];
    await moveAll(from, via);
    await moveAll(via, to);
    const ids = await allIds(from);
    expect(await allIds(via)).toEqual(ids);
    expect(await allIds(to)).toEqual(ids);
    for (const id of ids) {
      const here = await shownOf(from, id);
      for (const runner of [via, to]) {
        const there = await shownOf(runner, id);
        for (const name of ["inputs", "events", "messages", "state", "replay"] as const) {
          expect(there[name]).toEqual(here[name]);
        }
      }
    }
    expect(await recordsOf(to)).toEqual(await recordsOf(via));
    expect(await moveAll(from, via)).toMatchObject({ threads: 0, skipped: ids.length });
    await via.close();
  });
});

test("an import whose host was killed is begun again, when that host counts as dead", async () => {
  const from = onSqlite();
  const agent = scriptedAgent(function* ({ input: { threadId, runId } }) {
    yield { type: "RUN_STARTED", threadId, runId };
    yield { type: "CUSTOM", name: "long", value: "long ".repeat(100_000) };
    yield { type: "RUN_FINISHED", threadId, runId };
  });
  await runToEnd(from, "short", "r", answeringAgent());
  for (let run = 0; run < 12; run++) await runToEnd(from, "long", `r${run}`, agent);
  const path = `${tempDatabase()}.ndjson`;
  const threadIds = ["short", "long"];
  await pipeline(toNdjson(exportThreads(from, { threadIds })), createWriteStream(path));
  const schema = newSchema();
  const env = { ...process.env, RUNNER_POSTGRES_URL: connectionString };
  const child = spawnChild(process.execPath, [CHILD, schema, path], { env });
  for (let line = 0; line < 18; line++) expect(await nextLine(child)).not.toBe("imported");
  await child.kill();
  const to = onPostgres(schema);
  expect(await allIds(to)).toEqual(["short"]);
  const result = await importThreads(to, fromNdjson(createReadStream(path)));
  expect(result).toEqual({ threads: 1, skipped: 1, runs: 13 });
  expect(await recordsOf(to, { threadIds })).toEqual(await recordsOf(from, { threadIds }));
  await to.close();
});

test("a thread whose id is too long for PostgreSQL ends the import, and leaves nothing", async () => {
  const [from, to] = [onSqlite(), onPostgres()];
  // Random, so that it cannot be compressed.
  const threadId = randomBytes(4000).toString("hex");
  await runToEnd(from, threadId, "r", answeringAgent());
  await expect(moveAll(from, to)).rejects.toMatchObject({ code: "THREAD_ID_TOO_LONG" });
  expect(await allIds(to)).toEqual([]);
  await to.close();
});
