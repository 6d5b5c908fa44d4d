import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { formatNumber, labelOf } from "./figures.ts";
import { expectedSecondsOf, type KeptFile, keepFile, pathOf } from "./growth/kept-file.ts";
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
  /** Where the files of trials that keep theirs are, and their runs. Null for the runs of the trial. */
  readonly kept: { readonly directory: string; readonly runs: number | null };
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

interface Planned {
  readonly trial: Trial;
  readonly turns: readonly Turn[];
  readonly kept: KeptFile | null;
}

/** A trial as this plan measures it, or null. */
function plannedOf(trial: Trial, plan: Plan): Planned | null {
  const effort = effortOf(trial, plan);
  if (effort === null) return null;
  if (trial.keepsFile !== true) return { trial, turns: turnsOf(trial, effort), kept: null };
  const points = effort.points ?? trial.points;
  const runs = plan.kept.runs ?? points.at(-1) ?? 0;
  const kept = { path: pathOf(plan.kept.directory, runs), runs };
  const planned = { ...trial, settings: { ...trial.settings, keptFile: kept.path } };
  const turns = turnsOf(planned, { ...effort, points: [...points.slice(0, -1), runs] });
  return { trial: planned, turns, kept };
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
  const work = plan.trials.flatMap((trial) => plannedOf(trial, plan) ?? []);
  const machine = describeMachine(root);
  const samples = new Map<string, Sample[]>();
  const failures: Failure[] = [];
  const expected = work.flatMap(({ kept, turns }) => [
    ...(kept === null ? [] : [expectedSecondsOf(kept)]),
    ...turns.map((turn) => turn.expectedSeconds),
  ]);
  const progress = showProgress(expected, stream);
  const busyBefore = busyMs();
  let ownMs = 0;

  const skipped = new Map<string, string>();
  const fail = (trial: Trial, peer: string, error: unknown) => {
    const message = error instanceof Error ? error.message : String(error);
    failures.push({ trial: trial.name, peer, message });
    progress.end(`failed: ${message.split("\n")[0]}`);
  };
  /** Whether the file of a trial is there. It is made if it is missing. */
  const prepare = async (trial: Trial, kept: KeptFile): Promise<boolean> => {
    progress.start(`${trial.name}, the file ${kept.path}`);
    try {
      await keepFile(kept, (share, what) => {
        progress.note(`${Math.floor(share * 100)} %, ${what}`);
      });
      progress.end("ready");
      return true;
    } catch (error) {
      fail(trial, "its file", error);
      return false;
    }
  };
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
      fail(trial, task.peer, error);
    }
  };
  try {
    const needsServer = work.some(({ trial }) => trial.needs === "postgres");
    const noServer = needsServer ? await whyNoServer() : null;
    for (const { trial, turns, kept } of work) {
      if (trial.needs === "postgres" && noServer !== null) {
        skipped.set(trial.name, noServer);
        for (const { task } of turns) {
          progress.start(`${trial.name}, ${task.peer}`);
          progress.end(`skipped: ${noServer}`);
        }
        continue;
      }
      if (kept !== null && !(await prepare(trial, kept))) continue;
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
