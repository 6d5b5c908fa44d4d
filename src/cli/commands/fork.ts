import type { Command } from "commander";
import { newCommand } from "../command.ts";
import { shown } from "../format.ts";
import { print, printJson } from "../print.ts";
import { type CommonOptions, withRunner } from "../session.ts";

interface Options extends CommonOptions {
  readonly atRun?: string;
  readonly as?: string;
}

export function forkCommand(): Command {
  const examples = ["fork THREAD", "fork THREAD --at-run RUN --as NEW-THREAD"];
  const summary = "make a new thread with the history of another";
  const about = "Prints the id of the new thread.";
  return newCommand({ usage: "fork <thread>", summary, about, examples })
    .option("--at-run <id>", "the last run to take over (default: the last run)")
    .option("--as <id>", "the id of the new thread (default: a random UUID)")
    .action((threadId: string, options: Options) =>
      withRunner(options, async ({ runner }) => {
        const { atRun, as: newThreadId } = options;
        const id = await runner.threads.fork(threadId, { atRun, newThreadId });
        if (options.json === true) await printJson({ threadId, newThreadId: id });
        else await print(`${shown(id)}\n`);
      }),
    );
}
