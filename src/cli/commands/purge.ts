import type { Command } from "commander";
import type { PurgeLimits, PurgeResult } from "../../index.ts";
import { newCommand } from "../command.ts";
import { confirm } from "../confirm.ts";
import { wrongUsage } from "../failure.ts";
import { count, size } from "../format.ts";
import { endProgress, note, print, printJson, progress } from "../print.ts";
import { type CommonOptions, withRunner } from "../session.ts";
import { byteSize, duration, wholeNumber } from "../values.ts";

interface Options extends CommonOptions {
  readonly maxAge?: number;
  readonly maxRuns?: number;
  readonly maxThreads?: number;
  readonly maxSize?: number;
  readonly keepLatest?: number;
  readonly archivedOnly?: boolean;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
}

export function purgeCommand(): Command {
  const examples = [
    "purge --max-age 90d --dry-run",
    "purge --max-runs 200 --max-size 10GB --yes",
    "purge --max-age 0s --archived-only --dry-run",
  ];
  const summary = "remove old threads and runs";
  const about =
    "Says what would be removed, and asks. Threads that a run holds are left alone. Servers go on meanwhile.";
  return newCommand({ usage: "purge", summary, about, examples })
    .option("--max-age <duration>", "remove threads whose last run ended longer ago", duration)
    .option("--max-runs <number>", "remove the oldest runs of longer threads", wholeNumber(1))
    .option("--max-threads <number>", "remove the oldest of more threads", wholeNumber(0))
    .option("--max-size <size>", "remove the oldest threads of more bytes", byteSize)
    .option(
      "--keep-latest <number>",
      "runs that --max-runs leaves of a thread at least; protects no thread from the other limits",
      wholeNumber(0),
    )
    .option("--archived-only", "only archived threads")
    .option("--dry-run", "only say what would be removed")
    .option("--yes", "do not ask")
    .action(purge);
}

async function purge(options: Options): Promise<void> {
  const limits: PurgeLimits = {
    maxAgeMs: options.maxAge,
    maxRunsPerThread: options.maxRuns,
    maxThreads: options.maxThreads,
    maxBytes: options.maxSize,
    keepLatest: options.keepLatest,
    archivedOnly: options.archivedOnly,
  };
  const removing = [options.maxAge, options.maxRuns, options.maxThreads, options.maxSize];
  if (removing.every((limit) => limit === undefined)) {
    throw wrongUsage("say what to remove: --max-age, --max-runs, --max-threads or --max-size");
  }
  await withRunner(options, async ({ runner, signal }) => {
    const { dryRun = false, yes = false, json = false } = options;
    if (dryRun || !yes) {
      const found = await runner.purge({ ...limits, dryRun: true, signal });
      signal.throwIfAborted();
      if (dryRun) {
        if (json) await printJson({ ...found, dryRun });
        else await print(`${textOf(found)} would be removed.\n`);
        return;
      }
      if (found.threads + found.runs === 0) {
        note("There is nothing to remove.");
        if (json) await printJson({ ...found, dryRun });
        return;
      }
      await confirm(`Remove ${textOf(found)} for good?`, { yes, signal });
    }
    const onProgress = (done: PurgeResult) => progress(textOf(done));
    const removed = await runner.purge({ ...limits, signal, onProgress });
    endProgress();
    if (json) await printJson({ ...removed, dryRun });
    else await print(`${textOf(removed)} removed.\n`);
    signal.throwIfAborted();
  });
}

function textOf({ threads, runs, bytes }: PurgeResult): string {
  const whole = threads === 0 ? "" : `${count(threads, "thread")} and `;
  return `${whole}${count(runs, "run")} of ${size(bytes)}`;
}
