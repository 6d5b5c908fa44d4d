#!/usr/bin/env node
import { Command, CommanderError } from "commander";
import { backupCommand } from "./commands/backup.ts";
import { checkCommand } from "./commands/check.ts";
import { eraseCommand } from "./commands/erase.ts";
import { exportCommand } from "./commands/export.ts";
import { forkCommand } from "./commands/fork.ts";
import { importCommand } from "./commands/import.ts";
import { inspectCommand } from "./commands/inspect.ts";
import { migrateCommand } from "./commands/migrate.ts";
import { purgeCommand } from "./commands/purge.ts";
import { showCommand } from "./commands/show.ts";
import { statsCommand } from "./commands/stats.ts";
import { stopCommand } from "./commands/stop.ts";
import { tailCommand } from "./commands/tail.ts";
import { threadsCommand } from "./commands/threads.ts";
import { EXIT, outcomeOf } from "./failure.ts";
import { shown } from "./format.ts";
import { endProgress, isClosed, note, outputFailure, watchReader } from "./print.ts";
import { version } from "./version.ts";

const COMMANDS = [
  threadsCommand,
  showCommand,
  tailCommand,
  stopCommand,
  inspectCommand,
  statsCommand,
  checkCommand,
  migrateCommand,
  purgeCommand,
  eraseCommand,
  backupCommand,
  forkCommand,
  exportCommand,
  importCommand,
];

const HELP = `
The database is named by --db, or else by DATABASE_URL or DB_PATH in the environment.
All commands but "migrate --compact" may be used beside live servers.

Exit codes:
  0    done
  1    failed, refused, or "check" has found something
  2    wrong usage
  3    there is no such file, thread or run
  130  interrupted

NO_COLOR in the environment turns colors off.

Examples:
  $ durable-agent-runner threads --db ./data/threads.db --search "invoice"
  $ durable-agent-runner show THREAD
  $ durable-agent-runner threads --json | jq -r .id`;

function newProgram(): Command {
  const program = new Command("durable-agent-runner")
    .description("Looks at the threads of durable-agent-runner, and looks after them.")
    .version(version())
    .addHelpText("after", HELP);
  // Each command reports its own mistakes, so each has to throw them.
  for (const make of COMMANDS) program.addCommand(make().exitOverride());
  return program.exitOverride();
}

watchReader();

try {
  await newProgram().parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    // Commander has printed the message. It exits with 1 where the usage is wrong.
    process.exitCode = error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  } else if (isClosed()) {
    process.exitCode = EXIT.ok;
  } else {
    endProgress();
    const { exitCode, message } = outcomeOf(error);
    if (message !== "") note(`durable-agent-runner: ${message.split("\n").map(shown).join("\n")}`);
    process.exitCode = exitCode;
  }
}

const failure = outputFailure();
if (failure !== null) {
  endProgress();
  note(`durable-agent-runner: the output could not be written: ${failure.message}`);
  process.exitCode = EXIT.failed;
}
