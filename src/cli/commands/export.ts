import { createWriteStream } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import type { Command } from "commander";
import { type ExportProgress, exportThreads, toNdjson } from "../../index.ts";
import { newCommand } from "../command.ts";
import { CommandFailure, EXIT } from "../failure.ts";
import { count } from "../format.ts";
import { endProgress, isClosed, note, print, progress } from "../print.ts";
import { type CommonOptions, type Session, withRunner } from "../session.ts";

interface Options extends CommonOptions {
  readonly search?: string;
  readonly agent?: string;
  readonly thread?: string[];
  readonly out?: string;
}

export function exportCommand(): Command {
  const examples = [
    "export --out threads.ndjson.gz",
    "export --thread THREAD | durable-agent-runner import --db other.db",
    "export --resource USER --out user.ndjson",
  ];
  const summary = "write threads as NDJSON, with all that is stored of them";
  const about = `To stdout, or to a file that gets its name when it is whole. A name that ends in .gz is compressed. A run that has not
ended is left out. --json changes nothing.`;
  const collect = (id: string, ids: string[] = []) => [...ids, id];
  return newCommand({ usage: "export", summary, about, examples })
    .option("--out <file>", "write to this file")
    .option("--thread <id>", "only this thread (repeatable)", collect)
    .option("--search <words>", "only threads with all of these words")
    .option("--agent <id>", "only threads of this agent")
    .action((options: Options) => withRunner(options, (session) => exportTo(session, options)));
}

async function exportTo({ runner, signal }: Session, options: Options): Promise<void> {
  const { thread: threadIds, search, agent: agentId, out } = options;
  let done: ExportProgress = { threads: 0, runs: 0, length: 0 };
  const onProgress = (now: ExportProgress) => {
    done = now;
    progress(textOf(done));
  };
  const lines = toNdjson(exportThreads(runner, { threadIds, search, agentId, onProgress, signal }));
  if (out === undefined) {
    for await (const line of lines) {
      await print(line);
      if (isClosed()) return;
    }
  } else {
    await writeFile(out, lines);
  }
  endProgress();
  note(`${textOf(done)} exported`);
  if (threadIds !== undefined && done.threads < new Set(threadIds).size) {
    throw new CommandFailure(EXIT.notFound, "some of these threads do not exist");
  }
}

/** The file has its name only when it is whole. An older file of that name is replaced then. */
async function writeFile(path: string, lines: AsyncGenerator<string>): Promise<void> {
  const partial = `${path}.partial-${process.pid}`;
  const file = createWriteStream(partial, { mode: 0o600, flags: "wx", flush: true });
  try {
    if (path.endsWith(".gz")) await pipeline(lines, createGzip(), file);
    else await pipeline(lines, file);
    await rename(partial, path);
  } finally {
    await rm(partial, { force: true });
  }
}

function textOf({ threads, runs }: ExportProgress): string {
  return `${count(threads, "thread")} and ${count(runs, "run")}`;
}
