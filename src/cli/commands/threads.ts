import type { Command } from "commander";
import type { ThreadSummary } from "../../index.ts";
import { newCommand } from "../command.ts";
import { eachThread } from "../each-thread.ts";
import { wrongUsage } from "../failure.ts";
import { short, shown, size, time } from "../format.ts";
import { type Column, isClosed, note, print, printJson, table } from "../print.ts";
import { type CommonOptions, withRunner } from "../session.ts";
import { metadataField, wholeNumber } from "../values.ts";

interface Options extends CommonOptions {
  readonly search?: string;
  readonly agent?: string;
  readonly metadata?: Record<string, string | number | boolean | null>;
  readonly archived?: boolean;
  readonly active?: boolean;
  readonly running?: boolean;
  readonly order?: string;
  readonly limit: number;
  readonly all?: boolean;
}

/** Rows for which the widths of a table are computed together. */
const ROWS_A_TABLE = 500;

export function threadsCommand(): Command {
  const examples = [
    "threads --limit 10",
    'threads --search "blue whale" --agent assistant',
    "threads --running --all",
    "threads --all --json | jq -r .id",
  ];
  const about = "Newest first. With --json: one object a line.";
  const usage = { usage: "threads", summary: "list threads", about, examples };
  return newCommand(usage)
    .option("--search <words>", "only threads with all of these words")
    .option("--agent <id>", "only threads of this agent")
    .option("--metadata <name=value>", "only threads with this field (repeatable)", metadataField)
    .option("--archived", "only archived threads")
    .option("--active", "only threads that are not archived")
    .option("--running", "only threads on which a run executes")
    .option(
      "--order <order>",
      "by the time that a thread was updated or created (default: updated, with --all created)",
    )
    .option("--limit <number>", "how many", wholeNumber(1), 50)
    .option("--all", "all of them")
    .action(listThreads);
}

async function listThreads(options: Options): Promise<void> {
  const { search, agent: agentId, metadata, archived, active, all = false } = options;
  // In the order of updates, a thread that is used meanwhile would be passed over.
  const order = options.order ?? (all ? "created" : "updated");
  if (archived === true && active === true) throw wrongUsage("--archived excludes --active");
  if (order !== "updated" && order !== "created") {
    throw wrongUsage(`expected --order to be updated or created, got ${order}`);
  }
  const isArchived = archived === true ? true : active === true ? false : undefined;
  const query = { search, agentId, metadata, archived: isArchived, order } as const;
  await withRunner(options, async ({ runner, signal }) => {
    const limit = all ? Number.POSITIVE_INFINITY : options.limit;
    let rows: ThreadSummary[] = [];
    let found = 0;
    let isMore = false;
    for await (const thread of eachThread(runner, query, signal)) {
      if (options.running === true && !thread.isRunning) continue;
      if (found === limit) {
        isMore = true;
        break;
      }
      found++;
      if (options.json === true) await printJson(thread);
      else if (rows.push(thread) === ROWS_A_TABLE) {
        await print(table(columnsFor(rows), rows));
        rows = [];
      }
      if (isClosed()) return;
    }
    if (rows.length > 0) await print(table(columnsFor(rows), rows));
    if (found === 0 && options.json !== true) note("no threads");
    if (isMore) note(`There are more: --limit NUMBER or --all shows them.`);
  });
}

function columnsFor(rows: readonly ThreadSummary[]): Column<ThreadSummary>[] {
  const columns: (Column<ThreadSummary> | null)[] = [
    { name: "THREAD", of: ({ id }) => shown(id.replaceAll(/[\n\t]/g, " ")) },
    { name: "TITLE", of: ({ title }) => short(title ?? "", 40) },
    some(rows, { name: "AGENT", of: ({ agentId }) => short(agentId ?? "", 30) }),
    some(rows, { name: "RESOURCE", of: ({ resourceId }) => short(resourceId ?? "", 30) }),
    { name: "RUNS", of: ({ runs }) => `${runs}`, right: true },
    { name: "MESSAGES", of: ({ messages }) => `${messages}`, right: true },
    { name: "SIZE", of: ({ bytes }) => size(bytes), right: true },
    { name: "UPDATED (UTC)", of: ({ updatedAt }) => time(updatedAt) },
    { name: "STATUS", of: statusOf },
  ];
  return columns.filter((column) => column !== null);
}

/** A column, unless it is empty. */
function some<Row>(rows: readonly Row[], column: Column<Row>): Column<Row> | null {
  return rows.some((row) => column.of(row) !== "") ? column : null;
}

export function statusOf({ isRunning, lastRun, archived }: ThreadSummary): string {
  const last = lastRun === null ? "no run" : `${lastRun.outcome} ${lastRun.errorCode ?? ""}`;
  return `${isRunning ? "running" : shown(last.trim())}${archived ? ", archived" : ""}`;
}
