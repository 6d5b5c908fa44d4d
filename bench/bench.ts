import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { formatNumber, labelOf } from "./figures.ts";
import { busyMs, describeMachine, describeVersions } from "./machine.ts";
import { PEERS } from "./peers/peers.ts";
import { type ProgressStream, showProgress } from "./progress.ts";
import {
  type BenchResult,
  type Failure,
  type Point,
  RESULT_FORMAT,
  type Sample,
} from "./results.ts";
import { runInChild } from "./run-child.ts";
import { type Turn, turnsOf } from "./schedule.ts";
import { TARGETS } from "./targets.ts";
import type { Effort, Trial } from "./trial.ts";
import { judgeTarget } from "./verdicts.ts";
import { whyNoServer } from "./workloads/postgres-server.ts";

export interface Plan {
  readonly trials: readonly Trial[];
  readonly quick: boolean;
  readonly seconds: number | null;
  readonly directory: string | null;
  readonly command: string;
}

/** Null for a trial that is not part of this plan. */
function effortOf(trial: Trial, { quick, seconds }: Plan): Effort | null {
  const effort = quick ? trial.quick : trial.full;
  if (effort === null || seconds === null) return effort;
  return {
    ...effort,
    seconds,
    warmUpSeconds: Math.min(seconds, effort.warmUpSeconds),
    rounds: 1,
    roundsAt: {},
  };
}

/** The main figure of a turn, for the line that reports its end. */
function summaryOf({ show }: Trial, points: readonly Point[]): string {
  const [figure] = show;
  const value = figure === undefined ? undefined : points.at(-1)?.figures[figure];
  if (figure === undefined || value === undefined || value === null) return "not available";
  return `${formatNumber(value)} ${labelOf(figure)}`;
}

/**
 * Measures the trials of the plan, one process after another. A turn that fails does not end the
 * others.
 */
export async function measure(plan: Plan, stream: ProgressStream): Promise<BenchResult> {
  const startedAt = new Date();
  const root = mkdtempSync(join(plan.directory ?? tmpdir(), "durable-agent-runner-bench-"));
  const removeRoot = () => rmSync(root, { recursive: true, force: true });
  process.once("exit", removeRoot);
  const endEarly = () => process.exit(130);
  process.once("SIGINT", endEarly);
  const work = plan.trials.flatMap((trial) => {
    const effort = effortOf(trial, plan);
    return effort === null ? [] : [{ trial, turns: turnsOf(trial, effort) }];
  });
  const machine = describeMachine(root);
  const samples = new Map<string, Sample[]>();
  const failures: Failure[] = [];
  const expected = work.flatMap(({ turns }) => turns.map((turn) => turn.expectedSeconds));
  const progress = showProgress(expected, stream);
  const busyBefore = busyMs();
  let ownMs = 0;

  const skipped = new Map<string, string>();
  const take = async (trial: Trial, { round, task }: Turn): Promise<void> => {
    const at =
      task.points.length === 1 && trial.axis !== "" ? `, ${trial.axis} ${task.points[0]}` : "";
    progress.start(`${trial.name}${at}, ${task.peer}`);
    try {
      const { points, cpuMs } = await runInChild(task, root);
      ownMs += cpuMs;
      const own = samples.get(trial.name) ?? [];
      samples.set(trial.name, own);
      for (const point of points) own.push({ peer: task.peer, round, ...point });
      progress.end(summaryOf(trial, points));
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      failures.push({ trial: trial.name, peer: task.peer, message });
      progress.end(`failed: ${message.split("\n")[0]}`);
    }
  };
  try {
    const needsServer = work.some(({ trial }) => trial.needs === "postgres");
    const noServer = needsServer ? await whyNoServer() : null;
    for (const { trial, turns } of work) {
      if (trial.needs === "postgres" && noServer !== null) {
        skipped.set(trial.name, noServer);
        for (const { task } of turns) {
          progress.start(`${trial.name}, ${task.peer}`);
          progress.end(`skipped: ${noServer}`);
        }
        continue;
      }
      for (const turn of turns) await take(trial, turn);
    }
  } finally {
    progress.stop();
    process.off("exit", removeRoot);
    process.off("SIGINT", endEarly);
    removeRoot();
  }

  const elapsedMs = Date.now() - startedAt.getTime();
  const { user, system } = process.cpuUsage();
  const othersMs = Math.max(0, busyMs() - busyBefore - ownMs - (user + system) / 1000);
  const takenByOthers = othersMs / (elapsedMs * availableParallelism());
  const trials = work.map(({ trial }) => {
    const { name, title, about, axis, show, baseline, plots } = trial;
    const own = { samples: samples.get(name) ?? [], skipped: skipped.get(name) };
    return { name, title, about, axis, show, baseline, plots, ...own };
  });
  const measuredPeers = new Set(trials.flatMap((trial) => trial.samples.map(({ peer }) => peer)));
  return {
    format: RESULT_FORMAT,
    startedAt: startedAt.toISOString(),
    seconds: elapsedMs / 1000,
    mode: plan.quick ? "quick" : "full",
    command: plan.command,
    machine,
    takenByOthers,
    versions: describeVersions(),
    peers: PEERS.filter(({ name }) => measuredPeers.has(name)),
    trials,
    verdicts: TARGETS.map((target) => judgeTarget(target, trials)),
    failures,
  };
}
