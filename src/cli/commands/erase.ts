import type { Command } from "commander";
import type { EraseRequest, StoreAgentRunner } from "../../index.ts";
import { newCommand } from "../command.ts";
import { confirm } from "../confirm.ts";
import { eachThread } from "../each-thread.ts";
import { wrongUsage } from "../failure.ts";
import { count, shown, size } from "../format.ts";
import { note, print, printJson } from "../print.ts";
import { type CommonOptions, withRunner } from "../session.ts";

interface Options extends CommonOptions {
  readonly thread?: string;
  readonly yes?: boolean;
}

export function eraseCommand(): Command {
  const examples = ["erase --thread THREAD", "erase --resource USER --yes"];
  const summary = "remove a thread, or all of a resource, without a trace";
  const about = `Runs that execute on these threads are ended first. Afterwards, the files of the database are searched for what was
erased. Backups and exports are other files: erase does not reach them. It asks first.`;
  const setup = { usage: "erase", summary, about, examples, hasResource: false };
  return newCommand(setup)
    .option("--thread <id>", "this thread")
    .option("--resource <id>", "all threads of this resource")
    .option("--yes", "do not ask")
    .action(({ resource: resourceId, ...options }: Options) => {
      const { thread: threadId } = options;
      if (threadId !== undefined && resourceId === undefined) return erase({ threadId }, options);
      if (threadId === undefined && resourceId !== undefined) return erase({ resourceId }, options);
      throw wrongUsage("say what to erase: either --thread or --resource");
    });
}

async function erase(request: EraseRequest, options: Options): Promise<void> {
  await withRunner(options, async ({ runner, signal }) => {
    const { yes = false, json = false } = options;
    const found = await foundBy(runner, request, signal);
    // An erasure that was not completed before is: then there is nothing to ask about.
    if (found !== null) await confirm(`Erase ${found} for good?`, { yes, signal });
    if (found !== null && yes) note(`Erasing ${found}`);
    const { threads, runs, verified } = await runner.threads.erase(request);
    if (json) return printJson({ threads, runs, verified });
    const proof = verified ? ", and the files were searched: nothing is left" : "";
    await print(`${count(threads, "thread")} and ${count(runs, "run")} were erased${proof}.\n`);
  });
}

/** What would be erased. Null for nothing. */
async function foundBy(
  runner: StoreAgentRunner,
  { threadId, resourceId }: EraseRequest,
  signal: AbortSignal,
): Promise<string | null> {
  if (threadId !== undefined) {
    const thread = await runner.threads.get(threadId);
    if (thread === null) return null;
    const { runs, bytes } = thread;
    return `the thread ${shown(threadId)} with ${count(runs, "run")} of ${size(bytes)}`;
  }
  const total = { threads: 0, runs: 0, bytes: 0 };
  for await (const { runs, bytes } of eachThread(runner, { resourceId }, signal)) {
    total.threads++;
    total.runs += runs;
    total.bytes += bytes;
  }
  if (total.threads === 0) return null;
  return `${count(total.threads, "thread")} of ${shown(resourceId)} with ${count(total.runs, "run")} of ${size(total.bytes)}`;
}
