import { createReadStream, existsSync } from "node:fs";
import { addAbortSignal, type Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import type { Command } from "commander";
import { fromNdjson, type ImportProgress, importThreads, type OnConflict } from "../../index.ts";
import { newCommand } from "../command.ts";
import { notFound, wrongUsage } from "../failure.ts";
import { count } from "../format.ts";
import { placeOf } from "../place.ts";
import { endProgress, print, printJson, progress } from "../print.ts";
import { type CommonOptions, type Session, withRunner } from "../session.ts";

interface Options extends CommonOptions {
  readonly onConflict: string;
}

const CHOICES: readonly OnConflict[] = ["throw", "skip", "replace"];

export function importCommand(): Command {
  const examples = ["import threads.ndjson.gz", "import --on-conflict skip < threads.ndjson"];
  const summary = "store the threads of an export";
  const about = `Reads a file, or stdin. Makes the database if it does not exist. Threads that are there already with the same runs are
passed over, so an import that failed can be repeated.`;
  return newCommand({ usage: "import [file]", summary, about, examples, hasResource: false })
    .option(
      "--on-conflict <what>",
      "for a thread that has other runs: throw, skip, replace",
      "throw",
    )
    .action((file: string | undefined, options: Options) => {
      const onConflict = CHOICES.find((choice) => choice === options.onConflict);
      if (onConflict === undefined) {
        throw wrongUsage(`expected --on-conflict to be one of ${CHOICES.join(", ")}`);
      }
      const place = placeOf(options.db);
      // Before a database is made for it. Where there is one, its version comes first.
      if (place.kind === "sqlite" && !existsSync(place.dbPath)) expectSource(file);
      return withRunner({ ...options, makes: true }, (session) =>
        importFrom(session, { file, onConflict, json: options.json === true }),
      );
    });
}

async function importFrom(
  { runner, signal }: Session,
  { file, onConflict, json }: { file: string | undefined; onConflict: OnConflict; json: boolean },
): Promise<void> {
  expectSource(file);
  const onProgress = ({ threads, runs }: ImportProgress) =>
    progress(`${count(threads, "thread")} and ${count(runs, "run")}`);
  // Otherwise, an import would wait for a silent pipe whatever the signal says.
  const records = fromNdjson(addAbortSignal(signal, sourceOf(file)));
  const options = { onConflict, onProgress, signal };
  const result = await importThreads(runner, records, options).catch((error: unknown) => {
    signal.throwIfAborted();
    throw error;
  });
  endProgress();
  if (json) return printJson(result);
  const { threads, skipped, runs } = result;
  await print(
    `${count(threads, "thread")} imported, ${skipped} skipped, ${count(runs, "run")} read\n`,
  );
}

/** @throws {CommandFailure} */
function expectSource(file: string | undefined): void {
  if (file === undefined || file === "-" || existsSync(file)) return;
  throw notFound(`there is no file ${file} to import`);
}

function sourceOf(file: string | undefined): Readable {
  if (file === undefined || file === "-") return process.stdin;
  const source = createReadStream(file);
  if (!file.endsWith(".gz")) return source;
  const unzipped = createGunzip();
  source.on("error", (error) => unzipped.destroy(error));
  return source.pipe(unzipped);
}
