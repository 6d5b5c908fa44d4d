import type { Command } from "commander";
import { checkDatabase } from "../../index.ts";
import { newCommand } from "../command.ts";
import { CommandFailure, EXIT, wrongUsage } from "../failure.ts";
import { shown } from "../format.ts";
import { expectFile, placeOf } from "../place.ts";
import { print, printJson } from "../print.ts";
import { type CommonOptions, withRunner } from "../session.ts";

interface Options extends CommonOptions {
  readonly repair?: boolean;
}

export function checkCommand(): Command {
  const examples = ["check", "check --repair"];
  const summary = "check that a SQLite file is whole";
  const about = `Reads the whole file: its pages and indexes, whether events are JSON, whether counts are right, and whether
threads are held by processes that nobody knows. With --repair, indexes and counts are set right (servers wait
meanwhile), and the runs of dead processes are ended. Damaged pages cannot be repaired: restore a backup.`;
  const setup = { usage: "check", summary, about, examples };
  return newCommand({ ...setup, hasResource: false })
    .option("--repair", "set right what can be")
    .action(check);
}

async function check(options: Options): Promise<void> {
  const { repair = false, json = false } = options;
  const place = placeOf(options.db);
  if (place.kind === "postgres") throw wrongUsage("check is for SQLite files");
  const { dbPath } = place;
  expectFile(dbPath);
  const first = await checkDatabase(dbPath, { repair });
  // Opening a runner ends the runs of dead processes.
  if (repair) await withRunner(options, async () => undefined);
  const { problems } = repair ? await checkDatabase(dbPath) : first;
  const { repaired } = first;
  if (json) {
    await printJson({ database: dbPath, problems, repaired });
  } else {
    for (const line of repaired) await print(`repaired: ${shown(line)}\n`);
    for (const line of problems) await print(`problem: ${shown(line)}\n`);
    if (problems.length === 0) await print(`${dbPath}: no problems\n`);
  }
  if (problems.length > 0) {
    const next = repair ? "restore a backup" : "try check --repair";
    throw new CommandFailure(EXIT.failed, `${dbPath} has problems: ${next}`);
  }
}
