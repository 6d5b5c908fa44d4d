import { Command } from "commander";
import { DEFAULT_PATH } from "./place.ts";

export interface CommandSetup {
  /** Its name and arguments, such as "show <thread>". */
  readonly usage: string;
  readonly summary: string;
  /** Lines without the program's name. */
  readonly examples: readonly string[];
  /** What else to know. */
  readonly about?: string;
  /** Whether the command is about the threads of all resources. Default true. */
  readonly hasResource?: boolean;
}

/** A command with the options that all have. */
export function newCommand(setup: CommandSetup): Command {
  const { usage, summary, examples, about, hasResource = true } = setup;
  const command = new Command().summary(summary);
  command.description(about === undefined ? summary : `${summary}\n\n${about}`);
  const [name = "", ...args] = usage.split(" ");
  command.name(name);
  for (const argument of args) command.argument(argument);
  command.option(
    "--db <place>",
    `a file, or a postgres:// URL (default: $DATABASE_URL, $DB_PATH, or ${DEFAULT_PATH})`,
  );
  command.option("--schema <name>", "the schema of the tables in a PostgreSQL database");
  if (hasResource) {
    command.option("--resource <id>", "only threads of this resource (default: of all)");
  }
  command.option("--json", "print JSON for programs");
  const lines = examples.map((line) => `  $ durable-agent-runner ${line}`);
  command.addHelpText("after", `\nExamples:\n${lines.join("\n")}`);
  return command;
}
