import "../support/leak-guard.ts";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import type { ClaimOp } from "../../src/protocol/messages.ts";
import { Compactor } from "../../src/store/postgres/compactor.ts";
import { Connection } from "../../src/store/postgres/connection.ts";
import { KnownMessages } from "../../src/store/postgres/known-messages.ts";
import { LongRuns } from "../../src/store/postgres/long-runs.ts";
import { migrate } from "../../src/store/postgres/schema.ts";
import { statementsOf } from "../../src/store/postgres/statements.ts";
import { ThreadTouches } from "../../src/store/postgres/threads/thread-touches.ts";
import { Transaction, type TransactionContext } from "../../src/store/postgres/transaction.ts";
import { type PostgresServer, startPostgres } from "../support/postgres.ts";
import { inputOf, started } from "../support/scripted-agent.ts";

let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server.stop());

const SCHEMA = "durable_agent_runner";

/** Compacts a run when the test says so. */
class HeldCompactor extends Compactor {
  #onHeld: (release: () => void) => void = () => undefined;

  /** Resolves when the next run is to be compacted. */
  nextHeld(): Promise<() => void> {
    return new Promise((resolve) => {
      this.#onHeld = resolve;
    });
  }

  override async compact(journal: Parameters<Compactor["compact"]>[0]) {
    await new Promise<void>((release) => this.#onHeld(release));
    return super.compact(journal);
  }
}

const claimOf = (number: number, messageIds: readonly string[] = []): ClaimOp => ({
  ...{ kind: "claim", number, threadId: "t", runId: `claim-${number}`, agentId: null },
  ...{ resourceId: null, messageIds, messageDigests: messageIds.map(() => 1) },
});

/** A host that knows the messages of a thread, of which the last run was that of a host that is gone. */
async function hostWithThread() {
  const url = await server.newDatabase();
  const connect = () => {
    const options = { connectionString: url, answerTimeoutMs: 10_000, prepare: true };
    const connection = new Connection(options);
    onTestFinished(() => connection.end());
    return connection;
  };
  const connection = connect();
  await connection.use((send) => migrate(send, SCHEMA));
  const statements = statementsOf({ schema: SCHEMA, answerTimeoutMs: 10_000 });
  const compactor = new HeldCompactor();
  onTestFinished(() => compactor.end());
  const context = {
    ...{ statements, compactor, instanceId: "host", interruptedNote: false as const },
    ...{ isAlive: (id: string) => id === "host", expectKnown: async () => undefined },
    ...{ offersInterrupted: () => false, messages: new KnownMessages() },
    ...{ longRuns: new LongRuns(statements, compactor), touches: new ThreadTouches() },
    ownHost: () => null,
  };
  const claim = (over: Connection, op: ClaimOp, changed: Partial<TransactionContext> = {}) =>
    over.use((send) => new Transaction({ ...context, ...changed }, send).run([op], null));
  await server.query(`INSERT INTO ${SCHEMA}.threads (thread_id) VALUES ('t')`, url);
  // From here on, the host knows the messages of the thread.
  await claim(connection, claimOf(1));
  const input = inputOf("t", "r", ["question"]);
  const begun = JSON.stringify([{ ...started({ threadId: "t", runId: "r" }), input }]);
  await server.query(
    `UPDATE ${SCHEMA}.threads SET run_id = 'r', owner_id = 'gone';
     INSERT INTO ${SCHEMA}.journal VALUES ('t', 1, 0, '${begun}')`,
    url,
  );
  const storedRun = async () =>
    (await server.query(`SELECT run_id, messages FROM ${SCHEMA}.runs`, url))[0];
  return { connect, connection, compactor, messages: context.messages, claim, storedRun };
}

test("a transaction that goes on without its connection hides no messages from the one that repeats it", async () => {
  const { connect, connection, compactor, claim, storedRun } = await hostWithThread();
  let held = compactor.nextHeld();
  const lost = claim(connection, claimOf(2)).catch(({ code }) => code);
  const compactFirst = await held;
  await connection.end();
  held = compactor.nextHeld();
  const repeated = claim(connect(), claimOf(2));
  const compactSecond = await held;
  compactFirst();
  expect(await lost).toBe("CONNECTION_LOST");
  compactSecond();
  await repeated;
  const messages = expect.stringContaining("question");
  expect(await storedRun()).toMatchObject({ run_id: "r", messages });
});

test("messages that are forgotten for those of other threads while a transaction waits are still known to it", async () => {
  const { connection, compactor, messages, claim } = await hostWithThread();
  const held = compactor.nextHeld();
  const ended = claim(connection, claimOf(2));
  (await held)();
  await ended;
  const expectKnown = async () => messages.forget("t");
  const { results } = await claim(connection, claimOf(3, ["question", "new"]), { expectKnown });
  expect(results).toMatchObject([{ ok: true, claim: { seen: [true, false] } }]);
});
