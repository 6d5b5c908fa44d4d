import type { Command } from "commander";
import type { RunSummary, StoreAgentRunner, ThreadSummary } from "../../index.ts";
import { newCommand } from "../command.ts";
import { messageText } from "../conversation.ts";
import { notFound } from "../failure.ts";
import { count, shown, size, time } from "../format.ts";
import { facts, isClosed, note, print, printJson, table } from "../print.ts";
import { type CommonOptions, withRunner } from "../session.ts";
import { statusOf } from "./threads.ts";

interface Options extends CommonOptions {
  readonly full?: boolean;
  readonly runs?: boolean;
  readonly state?: boolean;
  readonly events?: boolean;
}

export function showCommand(): Command {
  const examples = ["show THREAD", "show THREAD --runs", "show THREAD --events | jq -r .type"];
  const summary = "show a thread as a conversation";
  const about =
    "The messages are those that a client of the thread holds, without the run that executes now: see tail.";
  return newCommand({ usage: "show <thread>", summary, about, examples })
    .option("--full", "show arguments and results of tools whole")
    .option("--runs", "show its runs, and not its messages")
    .option("--state", "show its state as well")
    .option("--events", "print its stored events, one a line, as JSON")
    .action((thread: string, options: Options) =>
      withRunner(options, ({ runner }) => show(runner, thread, options)),
    );
}

async function show(runner: StoreAgentRunner, threadId: string, options: Options): Promise<void> {
  const thread = await runner.threads.get(threadId);
  if (thread === null) throw unknownThread(threadId);
  if (options.events === true) return showEvents(runner, threadId);
  if (options.runs === true) return showRuns(runner, threadId, options);
  const { full = false, json = false } = options;
  const messages = await runner.threads.messages(threadId);
  const state = json || options.state === true ? await runner.threads.state(threadId) : null;
  if (json) return printJson({ thread, messages, state });
  await print(`${facts(factsOf(thread))}\n`);
  for (const message of messages) {
    await print(messageText(message, { full }));
    if (isClosed()) return;
  }
  if (options.state === true) await print(`\n${shown(JSON.stringify(state, null, 2))}\n`);
  if (thread.isRunning) note('A run executes now: "tail" shows it.');
}

/** How a thread that is not there is refused. */
export function unknownThread(threadId: string) {
  return notFound(`there is no thread ${JSON.stringify(threadId)}: "threads" lists them`);
}

async function showEvents(runner: StoreAgentRunner, threadId: string): Promise<void> {
  for await (const event of runner.threads.events(threadId)) {
    await printJson(event);
    if (isClosed()) return;
  }
}

async function showRuns(
  runner: StoreAgentRunner,
  threadId: string,
  { json }: Options,
): Promise<void> {
  let cursor: string | null = null;
  do {
    const page = await runner.threads.runs(threadId, { limit: 500, cursor });
    if (json === true) for (const run of page.runs) await printJson(run);
    else await print(table(RUN_COLUMNS, page.runs));
    cursor = page.nextCursor;
  } while (cursor !== null && !isClosed());
}

const RUN_COLUMNS = [
  { name: "RUN", of: ({ runId }: RunSummary) => shown(runId) },
  { name: "AGENT", of: ({ agentId }: RunSummary) => shown(agentId ?? "") },
  { name: "SIZE", of: ({ bytes }: RunSummary) => size(bytes), right: true },
  { name: "ENDED (UTC)", of: ({ endedAt }: RunSummary) => time(endedAt) },
  {
    name: "OUTCOME",
    of: ({ outcome, errorCode }: RunSummary) => shown(`${outcome} ${errorCode ?? ""}`.trim()),
  },
];

function factsOf(thread: ThreadSummary): [string, string][] {
  const { id, title, agentId, resourceId, metadata, forkedFrom, tokens } = thread;
  const used = tokens === null ? "" : `, ${tokens.input} + ${tokens.output} tokens`;
  const optional: [string, string | null | undefined][] = [
    ["title", title],
    ["agent", agentId],
    ["resource", resourceId],
    ["metadata", Object.keys(metadata).length === 0 ? null : JSON.stringify(metadata)],
    ["forked from", forkedFrom?.threadId],
  ];
  return [
    ["thread", shown(id)],
    ...optional.flatMap(([name, value]): [string, string][] =>
      value === null || value === undefined ? [] : [[name, shown(value)]],
    ),
    ["runs", `${count(thread.runs, "run")}, ${size(thread.bytes)}${used}`],
    ["created", `${time(thread.createdAt)} UTC`],
    ["updated", `${time(thread.updatedAt)} UTC`],
    ["status", statusOf(thread)],
  ];
}
