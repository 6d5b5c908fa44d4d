import type { Command } from "commander";
import { compactDatabase, inspectDatabase } from "../../index.ts";
import { newCommand } from "../command.ts";
import { wrongUsage } from "../failure.ts";
import { size } from "../format.ts";
import { expectFile, placeOf } from "../place.ts";
import { print, printJson } from "../print.ts";
import { type CommonOptions, withRunner } from "../session.ts";

interface Options extends CommonOptions {
  readonly compact?: boolean;
}

export function migrateCommand(): Command {
  const examples = ["migrate", "migrate --compact"];
  const summary = "bring a file of an older version up to date, in place";
  const about = `A server with this release does the same when it opens the file. Make a copy first if you may want to go back.
With --compact, the file is then rewritten without free space, and so that later purges make it smaller. That takes
as long as copying it, and twice its room on the disk. Stop all servers before.`;
  const setup = { usage: "migrate", summary, about, examples };
  return newCommand({ ...setup, hasResource: false })
    .option("--compact", "rewrite the file; no server may have it open")
    .action(migrate);
}

async function migrate(options: Options): Promise<void> {
  const { compact = false, json = false } = options;
  const place = placeOf(options.db);
  if (place.kind === "postgres") {
    if (compact) throw wrongUsage("--compact is for SQLite files");
    await withRunner(options, async () => undefined);
    if (json) await printJson({ database: place.name });
    else await print(`${place.name}: up to date\n`);
    return;
  }
  const { dbPath } = place;
  expectFile(dbPath);
  const before = await inspectDatabase(dbPath);
  if (before.schemaVersion !== before.currentVersion) {
    await withRunner({ ...options, migrates: true }, async () => undefined);
  }
  const after = compact ? await compactDatabase(dbPath) : await inspectDatabase(dbPath);
  const { schemaVersion, bytes } = after;
  if (json) {
    const from = { schemaVersion: before.schemaVersion, bytes: before.bytes };
    return printJson({ database: dbPath, before: from, after: { schemaVersion, bytes } });
  }
  const wasCurrent = before.schemaVersion === schemaVersion;
  const change = wasCurrent ? ", up to date" : `, migrated from ${before.schemaVersion}`;
  await print(`${dbPath}: schema version ${schemaVersion}${change}\n`);
  if (compact) await print(`${dbPath}: ${size(bytes)}, before ${size(before.bytes)}\n`);
}
