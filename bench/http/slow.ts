import { once } from "node:events";
import { type ClientRequest, type IncomingMessage, request } from "node:http";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Point } from "../results.ts";
import { inputOf } from "../workloads/agents.ts";
import type { Assignment } from "../workloads/workload.ts";
import { makeHistories } from "./histories.ts";
import { startHttpServer } from "./server.ts";

const THREAD_ID = "long";

/** The server has sent what it can when what it holds has not grown for so long. */
const STEADY_MS = 500;

/**
 * What a server holds for a client that connects to a long thread and does not read: all that the client
 * will get, or a part of it. Then the clients read, and get everything.
 */
export async function measureHttpSlow(assignment: Assignment): Promise<readonly Point[]> {
  const { peer, points, directory, settings } = assignment;
  const { eventsPerRun = 24, runsPerThread = 1 } = settings;
  const [clients = 1] = points;
  const thread = { threadId: THREAD_ID, runs: runsPerThread, eventsPerRun };
  const dbPath = join(directory, "threads.db");
  const histories = await makeHistories(peer, dbPath, [thread]);
  const server = await startHttpServer({ peer, dbPath, histories });
  const url = `${server.runtimeUrl}/agent/default/connect`;
  const warm = await answerOf(open(url));
  const answerBytes = await readAll(warm);

  const { heldBytes: before } = await server.ask("memory");
  const slow = await Promise.all(Array.from({ length: clients }, () => answerOf(open(url))));
  let held = before;
  for (;;) {
    await delay(STEADY_MS);
    const { heldBytes } = await server.ask("memory");
    const grown = heldBytes > held * 1.01;
    held = heldBytes;
    if (!grown) break;
  }
  const { peakRssMiB } = await server.ask("memory");
  for (const bytes of await Promise.all(slow.map(readAll))) {
    if (bytes !== answerBytes) throw new Error(`a client got ${bytes} bytes of ${answerBytes}`);
  }
  const { heldBytes: after } = await server.ask("memory");
  await server.close();
  const figures = {
    heldByClientKiB: (held - before) / clients / 1024,
    answerKiB: answerBytes / 1024,
    leftByClientKiB: (after - before) / clients / 1024,
    rssMiB: peakRssMiB,
  };
  return [{ x: clients, figures }];
}

function open(url: string): ClientRequest {
  const headers = { "content-type": "application/json", accept: "text/event-stream" };
  const sent = request(url, { method: "POST", headers, agent: false });
  sent.end(JSON.stringify(inputOf({ threadId: THREAD_ID, runId: "connect" })));
  return sent;
}

/** The head of the answer. Node reads no more of it than the buffers of the socket take. */
async function answerOf(sent: ClientRequest): Promise<IncomingMessage> {
  const [answer] = (await once(sent, "response")) as [IncomingMessage];
  if (answer.statusCode !== 200) throw new Error(`the server answered ${answer.statusCode}`);
  return answer;
}

async function readAll(answer: IncomingMessage): Promise<number> {
  let bytes = 0;
  for await (const chunk of answer) bytes += (chunk as Buffer).length;
  return bytes;
}
