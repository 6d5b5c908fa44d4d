import { statSync } from "node:fs";
import { join } from "node:path";
import type { RunAgentInput } from "@ag-ui/core";
import Database from "better-sqlite3";
import { openPeer } from "../peers/open-peer.ts";
import type { Point } from "../results.ts";
import { answerId, DirectAgent, deltasOf, deltaText, inputOf } from "./agents.ts";
import { writtenBytes, writtenSince } from "./resources.ts";
import { runOnce } from "./run-once.ts";
import type { Assignment } from "./workload.ts";

/** The size of the database by its number of pages, including those that are still in the WAL. */
function pagesKiB(dbPath: string): number {
  const db = new Database(dbPath, { readonly: true });
  const pages = db.pragma("page_count", { simple: true }) as number;
  const size = db.pragma("page_size", { simple: true }) as number;
  db.close();
  return (pages * size) / 1024;
}

/** One conversation, whose client sends all messages so far with each turn, as CopilotKit's does. */
export async function measureStorage(assignment: Assignment): Promise<readonly Point[]> {
  const { peer, points, directory, settings } = assignment;
  const { eventsPerRun = 24 } = settings;
  const dbPath = join(directory, "threads.db");
  const runner = await openPeer(peer, dbPath);
  const agent = new DirectAgent(eventsPerRun);
  const content = Array.from({ length: deltasOf(eventsPerRun) }, (_, at) => deltaText(at)).join("");
  const turns = Math.max(...points);
  let messages: RunAgentInput["messages"] = [];
  const results: Point[] = [];
  const written = writtenBytes();
  for (let turn = 1; turn <= turns; turn++) {
    const runId = `run-${turn}`;
    const question = `And what, of all this, matters most for step ${turn} of the plan?`;
    const input = inputOf({ threadId: "conversation", runId }, messages, question);
    await runOnce(runner, agent, input);
    messages = [...input.messages, { id: answerId(runId), role: "assistant", content }];
    if (points.includes(turn)) {
      const bytes = writtenSince(written);
      const bytesPerEvent = bytes === null ? null : bytes / (turn * eventsPerRun);
      results.push({ x: turn, figures: { fileKiB: pagesKiB(dbPath), bytesPerEvent } });
    }
  }
  await runner.close();
  const last = results.at(-1);
  if (last === undefined) return results;
  // At the end, the size in the file system counts.
  const fileKiB = statSync(dbPath).size / 1024;
  return [...results.slice(0, -1), { x: last.x, figures: { ...last.figures, fileKiB } }];
}
