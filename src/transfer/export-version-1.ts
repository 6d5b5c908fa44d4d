import { describeValue } from "../protocol/describe-value.ts";
import { isId } from "../protocol/ids.ts";
import type { StoreAgentRunner } from "../runner/store-agent-runner.ts";
import { Version1Writer } from "../store/sqlite/version-1-writer.ts";
import { type ExportOptions, exportThreads } from "./export-threads.ts";
import type { ExportRecord, RunRecord } from "./records.ts";

export interface Version1Result {
  readonly threads: number;
  readonly runs: number;
  /** Threads that belonged to a resource: version 1 knows no owners, and shows them to everybody. */
  readonly owned: number;
}

/**
 * Writes threads to a new SQLite file of the version 1 runner (`agent_runs`, `run_state`, `schema_version`), for the
 * way back. Titles, owners, metadata and archived threads' marks are left behind: version 1 has no place for
 * them. A run id that comes again in the file gets a number behind it.
 *
 * @throws {TypeError} `path` is not a path, or an option is wrong.
 * @throws {RunStoreError} `BACKUP_EXISTS`: a file is never replaced. `RESOURCE_REQUIRED`, `TRANSFER_UNSUPPORTED`,
 * `RUNNER_CLOSED`, and the codes of a file that cannot be written.
 */
export async function exportVersion1(
  runner: Pick<StoreAgentRunner, "transfer" | "threads">,
  path: string,
  options: ExportOptions = {},
): Promise<Version1Result> {
  if (!isId(path) || path === ":memory:") {
    const got = describeValue(path);
    throw new TypeError(`exportVersion1: expected the path of a new file, got ${got}`);
  }
  const records = exportThreads(runner, options);
  const writer = await Version1Writer.begin(path);
  try {
    const result = await writeRecords(records, writer);
    await writer.finish();
    return result;
  } finally {
    await writer.end();
  }
}

async function writeRecords(
  records: AsyncIterable<ExportRecord>,
  writer: Version1Writer,
): Promise<Version1Result> {
  const total = { threads: 0, runs: 0, owned: 0 };
  let isOwned = false;
  let run: RunRecord | null = null;
  let events: string[] = [];
  for await (const record of records) {
    switch (record.type) {
      case "thread":
        isOwned = record.resourceId !== null;
        break;
      case "run":
      case "events":
        if (record.type === "run") {
          run = record;
          events = [];
        }
        // Texts that are no JSON are left out: version 1 could not read the thread.
        for (const event of record.events) events.push(JSON.stringify(event));
        if (!record.isLast || run === null) break;
        await writer.add({
          threadId: run.threadId,
          runId: run.runId,
          events: `[${events.join(",")}]`,
          input: JSON.stringify(run.input ?? {}),
          endedAt: run.endedAt,
        });
        break;
      case "void":
        await writer.drop(record.threadId);
        break;
      case "end":
        total.threads++;
        total.runs += record.runs;
        total.owned += Number(isOwned);
    }
  }
  return total;
}
