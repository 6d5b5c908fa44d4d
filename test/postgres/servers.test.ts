import "../support/leak-guard.ts";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  events,
  type ServedEvent,
  shell,
  startServer,
  textOf,
} from "../examples/server-process.ts";
import { type PostgresServer, startPostgres } from "../support/postgres.ts";

let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server.stop());

async function all<T>(source: AsyncIterable<T>, onFirst?: () => void): Promise<T[]> {
  const items: T[] = [];
  for await (const item of source) if (items.push(item) === 1) onFirst?.();
  return items;
}

test("a run of one server is followed and stopped by the curl lines of another on the same database", async () => {
  const env = { DATABASE_URL: await server.newDatabase(), AGENT_PACE_MS: "100" };
  const [first, second] = await Promise.all([startServer(env), startServer(env)]);
  let joined: Promise<ServedEvent[]> | undefined;
  let stopped: Promise<string[]> | undefined;
  const seen: ServedEvent[] = [];
  for await (const event of events(first.curl.run)) {
    seen.push(event);
    if (event.type !== "TEXT_MESSAGE_CONTENT") continue;
    joined ??= all(events(second.curl.connect), () => {
      stopped ??= all(shell(second.curl.stop));
    });
  }
  expect((await stopped)?.join("")).toContain('"stopped":true');
  expect(seen.at(-1)).toMatchObject({ type: "RUN_FINISHED", runId: seen[0]?.runId });
  const others = (await joined) ?? [];
  expect(others.at(-1)).toEqual(seen.at(-1));
  expect(textOf(others)).toBe(textOf(seen));
});

test("a server that cannot reach the database says so, without the password", async () => {
  const url = new URL(await server.newDatabase());
  url.port = "1";
  await expect(startServer({ DATABASE_URL: url.href })).rejects.toThrow(
    /Cannot open the database of DATABASE_URL: cannot connect to PostgreSQL/,
  );
  await expect(startServer({ DATABASE_URL: url.href })).rejects.not.toThrow(/secret/);
});
