import type { Command } from "commander";
import { newCommand } from "../command.ts";
import { notFound } from "../failure.ts";
import { shown } from "../format.ts";
import { print, printJson } from "../print.ts";
import { type CommonOptions, withRunner } from "../session.ts";
import { unknownThread } from "./show.ts";

interface Options extends CommonOptions {
  readonly run?: string;
}

export function stopCommand(): Command {
  const examples = ["stop THREAD", "stop THREAD --run RUN"];
  const summary = "tell the run that executes on a thread to stop";
  const about = `Its server stops it within milliseconds, or with its next heartbeat. The command does not wait for that.
With exit code 3, nothing was there to be stopped: also where the run was told before.`;
  return newCommand({ usage: "stop <thread>", summary, about, examples })
    .option("--run <id>", "only if the run has this id")
    .action((threadId: string, options: Options) =>
      withRunner(options, async ({ runner }) => {
        const isStopped = await runner.stop({ threadId, runId: options.run });
        if (options.json === true) await printJson({ threadId, stopped: isStopped });
        if (!isStopped) {
          if ((await runner.threads.get(threadId)) === null) throw unknownThread(threadId);
          throw notFound(`no such run executes on ${threadId}, or it was told to stop already`);
        }
        if (options.json !== true) {
          await print(`The run on ${shown(threadId)} was told to stop.\n`);
        }
      }),
    );
}
