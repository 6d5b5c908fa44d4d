import { openPeer } from "../peers/open-peer.ts";
import { DirectAgent, inputOf } from "./agents.ts";
import type { Load, LoadAssignment } from "./postgres-load.ts";
import { runOnce } from "./run-once.ts";

/** Threads that each run one answer after another. */
export async function openRunnerLoad(assignment: LoadAssignment): Promise<Load> {
  const { url, threads, eventsPerRun } = assignment;
  const runner = await openPeer("postgres", url);
  const agent = new DirectAgent(eventsPerRun);
  return {
    run: async (name, isOver) => {
      let runs = 0;
      const converse = async (threadId: string): Promise<void> => {
        for (let turn = 0; !isOver(); turn++) {
          await runOnce(runner, agent, inputOf({ threadId, runId: `${threadId}-${turn}` }));
          runs++;
        }
      };
      await Promise.all(Array.from({ length: threads }, (_, at) => converse(`${name}-${at}`)));
      return runs;
    },
    close: () => runner.close(),
  };
}
