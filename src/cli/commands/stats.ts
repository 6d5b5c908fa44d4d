import { statSync } from "node:fs";
import type { Command } from "commander";
import { inspectDatabase } from "../../index.ts";
import { newCommand } from "../command.ts";
import { eachThread } from "../each-thread.ts";
import { size, time } from "../format.ts";
import type { Place } from "../place.ts";
import { facts, print, printJson } from "../print.ts";
import { type CommonOptions, type Session, withRunner } from "../session.ts";

export function statsCommand(): Command {
  const summary = "count threads, runs and bytes";
  const examples = ["stats", "stats --resource USER --json"];
  return newCommand({ usage: "stats", summary, examples }).action((options: CommonOptions) =>
    withRunner(options, (session) => stats(session, options)),
  );
}

async function stats({ runner, place, signal }: Session, { json }: CommonOptions): Promise<void> {
  const total = { threads: 0, archived: 0, running: 0, runs: 0, messages: 0, bytes: 0 };
  let updatedAt: number | null = null;
  for await (const thread of eachThread(runner, {}, signal)) {
    total.threads++;
    total.archived += Number(thread.archived);
    total.running += Number(thread.isRunning);
    total.runs += thread.runs;
    total.messages += thread.messages;
    total.bytes += thread.bytes;
    updatedAt = Math.max(updatedAt ?? 0, thread.updatedAt);
  }
  const file = await fileFacts(place);
  if (json === true) return printJson({ database: place.name, ...total, updatedAt, file });
  await print(
    facts([
      ["database", place.name],
      ["threads", `${total.threads}, of which ${total.archived} are archived`],
      ["running", `${total.running}`],
      ["runs", `${total.runs}`],
      ["messages", `${total.messages}`],
      ["events and inputs", size(total.bytes)],
      ["last update", updatedAt === null ? "never" : `${time(updatedAt)} UTC`],
      ...(file === null ? [] : fileLines(file)),
    ]),
  );
}

interface FileFacts {
  readonly bytes: number;
  readonly freeBytes: number;
  readonly walBytes: number;
  readonly shrinks: boolean;
  /** Runners that have it open, without that of this command. */
  readonly runners: number;
  readonly schemaVersion: number;
}

async function fileFacts(place: Place): Promise<FileFacts | null> {
  if (place.kind !== "sqlite") return null;
  const { instances, bytes, freeBytes, shrinks, schemaVersion } = await inspectDatabase(
    place.dbPath,
  );
  const walBytes = statSync(`${place.dbPath}-wal`, { throwIfNoEntry: false })?.size ?? 0;
  const runners = Math.max(0, instances - 1);
  return { bytes, freeBytes, walBytes, shrinks, runners, schemaVersion };
}

function fileLines(file: FileFacts): [string, string][] {
  const hint = file.shrinks ? "" : ' (only "migrate --compact" gives them back)';
  return [
    ["file", `${size(file.bytes)}, and ${size(file.walBytes)} of WAL`],
    ["free in the file", `${size(file.freeBytes)}${hint}`],
    ["open in", `${file.runners} other ${file.runners === 1 ? "runner" : "runners"}`],
    ["schema version", `${file.schemaVersion}`],
  ];
}
