import type { Command } from "commander";
import {
  type ExportOptions,
  type ExportProgress,
  exportThreads,
  exportVersion1,
  toNdjson,
} from "../../index.ts";
import { newCommand } from "../command.ts";
import { CommandFailure, EXIT, wrongUsage } from "../failure.ts";
import { count } from "../format.ts";
import { expectOtherFile, writeFile } from "../output-file.ts";
import { endProgress, isClosed, note, print, progress } from "../print.ts";
import { replayedEvents } from "../replayed-events.ts";
import { type CommonOptions, type Session, withRunner } from "../session.ts";
import { unknownThread } from "./show.ts";

interface Options extends CommonOptions {
  readonly search?: string;
  readonly agent?: string;
  readonly thread?: string[];
  readonly out?: string;
  readonly fixture?: string;
  readonly version1?: string;
}

export function exportCommand(): Command {
  const examples = [
    "export --out threads.ndjson.gz",
    "export --thread THREAD | durable-agent-runner import --db other.db",
    "export --resource USER --out user.ndjson",
    "export --fixture THREAD --out fixture.ndjson",
    "export --version-1 old-threads.db",
  ];
  const summary = "write threads as NDJSON, with all that is stored of them";
  const about = `To stdout, or to a file that gets its name when it is whole. A name that ends in .gz is compressed. A run that has not
ended is left out. --json changes nothing.

--fixture writes the events that a client gets which connects to the thread, one a line, to test a client with.
--version-1 makes a SQLite file for the version 1 runner, and replaces no file.`;
  const collect = (id: string, ids: string[] = []) => [...ids, id];
  return newCommand({ usage: "export", summary, about, examples })
    .option("--out <file>", "write to this file; an older one is replaced")
    .option("--thread <id>", "only this thread (repeatable)", collect)
    .option("--search <words>", "only threads with all of these words")
    .option("--agent <id>", "only threads of this agent")
    .option("--fixture <thread>", "the events of this thread, as its clients get them")
    .option("--version-1 <file>", "a new SQLite file that the version 1 runner reads")
    .action((options: Options) => {
      assertOneKind(options);
      return withRunner(options, (session) => exportBy(session, options));
    });
}

function assertOneKind({ fixture, version1, out, thread, search, agent }: Options): void {
  if (fixture !== undefined && [version1, thread, search, agent].some((it) => it !== undefined)) {
    throw wrongUsage("--fixture is about one thread: it goes with --out alone");
  }
  if (version1 !== undefined && out !== undefined) {
    throw wrongUsage("--version-1 names its file itself: leave --out away");
  }
}

async function exportBy(session: Session, options: Options): Promise<void> {
  const { fixture, version1, out } = options;
  if (out !== undefined) expectOtherFile(out, session.place);
  if (fixture !== undefined) await exportFixture(session, fixture, out);
  else if (version1 !== undefined) await exportToVersion1(session, version1, options);
  else await exportNdjson(session, options);
}

async function exportNdjson({ runner, signal }: Session, options: Options): Promise<void> {
  const counted = counting(options, signal);
  await write(toNdjson(exportThreads(runner, counted.options)), options.out);
  if (isClosed()) return;
  const { done } = counted;
  endProgress();
  note(`${textOf(done())} exported`);
  assertAllFound(options, done());
}

async function exportToVersion1(
  { runner, signal }: Session,
  file: string,
  options: Options,
): Promise<void> {
  const counted = counting(options, signal);
  const { owned } = await exportVersion1(runner, file, counted.options);
  endProgress();
  note(`${file}: ${textOf(counted.done())} exported`);
  if (owned > 0) {
    note(
      `Version 1 knows no owners: it shows ${count(owned, "thread")} of a resource to everybody.`,
    );
  }
  assertAllFound(options, counted.done());
}

async function exportFixture(
  { runner, signal }: Session,
  threadId: string,
  out: string | undefined,
): Promise<void> {
  const thread = await runner.threads.get(threadId);
  if (thread === null) throw unknownThread(threadId);
  if (thread.isRunning) {
    const message = "a run executes on this thread: wait for its end, or stop it";
    throw new CommandFailure(EXIT.failed, message);
  }
  await write(linesOf(replayedEvents(runner, threadId, signal)), out);
}

async function* linesOf(values: AsyncIterable<unknown>): AsyncGenerator<string> {
  for await (const value of values) yield `${JSON.stringify(value)}\n`;
}

/** The options of an export that shows its progress. */
function counting({ thread: threadIds, search, agent: agentId }: Options, signal: AbortSignal) {
  let done: ExportProgress = { threads: 0, runs: 0, length: 0 };
  const onProgress = (now: ExportProgress) => {
    done = now;
    progress(textOf(done));
  };
  const options: ExportOptions = { threadIds, search, agentId, onProgress, signal };
  return { options, done: () => done };
}

function assertAllFound({ thread: threadIds }: Options, { threads }: ExportProgress): void {
  if (threadIds === undefined || threads >= new Set(threadIds).size) return;
  throw new CommandFailure(EXIT.notFound, "some of these threads do not exist");
}

/** To stdout, or to a file. */
async function write(lines: AsyncGenerator<string>, out: string | undefined): Promise<void> {
  if (out !== undefined) return writeFile(out, lines);
  for await (const line of lines) {
    await print(line);
    if (isClosed()) return;
  }
}

function textOf({ threads, runs }: ExportProgress): string {
  return `${count(threads, "thread")} and ${count(runs, "run")}`;
}
