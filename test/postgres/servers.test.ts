import "../support/leak-guard.ts";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import {
  events,
  type ServedEvent,
  shell,
  startServer,
  textOf,
} from "../examples/server-process.ts";
import { Balancer } from "../support/balancer.ts";
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

/** Servers on one database, and the curl lines of a client that reaches another of them with each request. */
async function balanced(count: number) {
  const name = "threads.example";
  const env = {
    DATABASE_URL: await server.newDatabase(),
    AGENT_PACE_MS: "50",
    ALLOWED_HOSTS: name,
  };
  const servers = await Promise.all(Array.from({ length: count }, () => startServer(env)));
  const ports = servers.map(({ curl }) => Number(/127\.0\.0\.1:(\d+)/.exec(curl.run)?.[1]));
  const balancer = await Balancer.before(ports);
  onTestFinished(() => balancer.close());
  const { curl } = servers[0] as (typeof servers)[number];
  const through = (line: string) =>
    line
      .replaceAll(`127.0.0.1:${ports[0]}`, `127.0.0.1:${balancer.port}`)
      .replace("curl ", `curl -H 'host: ${name}' `);
  return {
    servers,
    run: through(curl.run),
    connect: through(curl.connect),
    stop: through(curl.stop),
  };
}

test("behind a balancer, each request reaches another server: a run is followed on all, stopped from any, and has its history on each", async () => {
  const { run, connect, stop } = await balanced(3);
  const followers: Promise<ServedEvent[]>[] = [];
  let stopped: Promise<string[]> | undefined;
  const seen: ServedEvent[] = [];
  for await (const event of events(run)) {
    seen.push(event);
    if (event.type !== "TEXT_MESSAGE_CONTENT") continue;
    if (followers.length < 3) followers.push(all(events(connect)));
    else stopped ??= all(shell(stop));
  }
  expect((await stopped)?.join("")).toContain('"stopped":true');
  for (const follower of await Promise.all(followers)) {
    expect(follower.at(-1)).toEqual(seen.at(-1));
    expect(textOf(follower)).toBe(textOf(seen));
  }
  const answers = [textOf(seen)];
  for (let at = 0; at < 3; at++) answers.push(textOf(await all(events(run))));
  for (let at = 0; at < 3; at++) {
    expect(textOf(await all(events(connect)))).toBe(answers.join(""));
  }
});

test("behind a balancer, a client that lost its server finds the run ended on the others, and goes on", async () => {
  const { servers, run, connect } = await balanced(2);
  const [first] = servers as [(typeof servers)[number]];
  /** Kills the server that executes the run when another has shown a part of it. */
  const follow = async () => {
    const shown: ServedEvent[] = [];
    for await (const event of events(connect)) {
      if (event.type === "TEXT_MESSAGE_CONTENT") first.child.kill("SIGKILL");
      shown.push(event);
    }
    return shown;
  };
  let follower: Promise<ServedEvent[]> | undefined;
  // The balancer begins with the first.
  const cutOff = all(events(run), () => {
    follower ??= follow();
  });
  await expect(cutOff).rejects.toThrow();
  const shown = (await follower) ?? [];
  expect(shown.at(-1)).toMatchObject({ type: "RUN_ERROR", code: "RUN_INTERRUPTED" });
  const reloaded = await all(events(connect));
  expect(reloaded.at(-1)).toMatchObject({ type: "RUN_ERROR", code: "RUN_INTERRUPTED" });
  expect(textOf(reloaded)).toBe(textOf(shown));
  expect((await all(events(run))).at(-1)?.type).toBe("RUN_FINISHED");
});

test("a server that cannot reach the database says so, without the password", async () => {
  const url = new URL(await server.newDatabase());
  url.port = "1";
  await expect(startServer({ DATABASE_URL: url.href })).rejects.toThrow(
    /Cannot open the database of DATABASE_URL: cannot connect to PostgreSQL/,
  );
  await expect(startServer({ DATABASE_URL: url.href })).rejects.not.toThrow(/secret/);
});
