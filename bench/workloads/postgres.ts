import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { Point } from "../results.ts";
import { TYPICAL_THREADS } from "../trial.ts";
import type { LoadAnswer, LoadAssignment, LoadPhase } from "./postgres-load.ts";
import { readConnections, readServer, startServer } from "./postgres-server.ts";
import type { Assignment } from "./workload.ts";

const CHILD = fileURLToPath(new URL("./postgres-load.child.ts", import.meta.url));

/** Keeps conversations busy from so many processes on one database as the point says. */
export async function measurePostgres(assignment: Assignment): Promise<readonly Point[]> {
  const { peer, points, seconds, warmUpSeconds, settings } = assignment;
  const [processes = 1] = points;
  const server = await startServer();
  const children: ChildProcess[] = [];
  try {
    const url = await server.newDatabase();
    const threads = TYPICAL_THREADS / processes;
    for (let at = 0; at < processes; at++) {
      const load: LoadAssignment = {
        peer,
        url,
        threads,
        eventsPerRun: settings.eventsPerRun ?? 24,
      };
      const child = fork(CHILD, [JSON.stringify(load)]);
      children.push(child);
      await answerOf(child);
    }
    const phase = async (name: string, lasts: number): Promise<readonly LoadAnswer[]> => {
      const answers = children.map(answerOf);
      const told: LoadPhase = { name, seconds: lasts };
      for (const child of children) child.send(told);
      return Promise.all(answers);
    };
    await phase("warm-up", warmUpSeconds);
    const before = await readServer(server);
    const answers = await phase("thread", seconds);
    const after = await readServer(server);
    const connections = await readConnections(server);
    const total = (of: (answer: LoadAnswer) => number) =>
      answers.reduce((sum, answer) => sum + of(answer), 0);
    const runs = total((answer) => answer.runs);
    const isRunner = peer === "postgres";
    const figures = {
      runsPerSecond: total((answer) => answer.runs / answer.seconds),
      serverUsPerRun:
        before.cpuUs === null || after.cpuUs === null ? null : (after.cpuUs - before.cpuUs) / runs,
      mainUsPerRun: total((answer) => answer.mainUs) / runs,
      walBytesPerRun: (after.walBytes - before.walBytes) / runs,
      connections: isRunner ? connections.count / processes : null,
      serverMiBPerHost: isRunner && connections.mib !== null ? connections.mib / processes : null,
    };
    return [{ x: processes, figures }];
  } finally {
    await Promise.all(children.map(endOf));
    await server.stop();
  }
}

/** The next message of a process. Rejects when it ends without one. */
async function answerOf(child: ChildProcess): Promise<LoadAnswer> {
  const gone = once(child, "exit").then(([code]) => {
    throw new Error(`a process of the trial ended with ${code}`);
  });
  const [answer] = (await Promise.race([once(child, "message"), gone])) as [LoadAnswer];
  gone.catch(() => undefined);
  return answer;
}

async function endOf(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  if (child.connected) child.disconnect();
  await exited;
}
