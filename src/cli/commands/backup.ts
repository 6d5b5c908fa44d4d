import type { Command } from "commander";
import { newCommand } from "../command.ts";
import { size } from "../format.ts";
import { endProgress, print, printJson, progress } from "../print.ts";
import { type CommonOptions, withRunner } from "../session.ts";

export function backupCommand(): Command {
  const examples = ["backup ./backups/2026-01-31.db"];
  const summary = "copy a SQLite database to a new file, beside live servers";
  const about =
    "The copy holds everything that was stored before. It gets its name when it is whole, and replaces no file. For PostgreSQL, use pg_dump.";
  const setup = { usage: "backup <file>", summary, about, examples, hasResource: false };
  return newCommand(setup).action((path: string, options: CommonOptions) =>
    withRunner(options, async ({ runner, signal }) => {
      // Closing the runner ends the backup, which leaves no file.
      signal.addEventListener("abort", () => void runner.close(), { once: true });
      const onProgress = (done: { bytes: number; totalBytes: number }) =>
        progress(`${size(done.bytes)} of ${size(done.totalBytes)}`);
      const { bytes } = await runner.backup(path, { onProgress }).catch((error: unknown) => {
        signal.throwIfAborted();
        throw error;
      });
      endProgress();
      if (options.json === true) await printJson({ path, bytes });
      else await print(`${path}: ${size(bytes)}\n`);
    }),
  );
}
