import { setTimeout as delay } from "node:timers/promises";
import type { Database } from "better-sqlite3";
import { RunStoreError } from "../../../src/protocol/errors.ts";
import type { WriterContext } from "../runs/writer-context.ts";
import { emptyWal, overwriteFreePages, rewriteFile } from "./clean-files.ts";
import { searchFiles } from "./file-search.ts";
import type { Needles } from "./needles.ts";
import type { Slices } from "./slices.ts";

/** How often the file is written anew. Another process that erases may leave remains of its own meanwhile. */
const ATTEMPTS = 3;

/** Milliseconds between two attempts. */
const RETRY_MS = 500;

/** What may still be in the files. */
export interface Remains {
  readonly needles: Needles;
  /** Whether there was content that can be searched for no more: it was removed before. */
  isBlind: boolean;
}

/**
 * Removes what is left of deleted content in free pages, in the WAL and in pages that are in use, and searches the
 * files for it. Resolves with whether nothing is left: false if the files could not be searched.
 *
 * @throws {RunStoreError} `ERASE_INCOMPLETE`
 */
export async function proveErased(
  { db, file }: Pick<WriterContext, "db" | "file">,
  slices: Slices,
  { needles, isBlind }: Remains,
): Promise<boolean> {
  await overwriteFreePages(db, slices);
  if (file === null) return true;
  await expectEmptyWal(db);
  if (!isBlind && (await countLeft(file, needles)) === 0) return true;
  for (let attempt = 1; ; attempt++) {
    // Remains are in the middle of pages that are in use: only writing the file anew removes them.
    const isRewritten = await rewriteFile(db);
    await expectEmptyWal(db);
    if (!isRewritten)
      throw eraseIncomplete("other programs have kept the file from being rewritten");
    const left = await countLeft(file, needles);
    if (left === null || left === 0) return left === 0;
    if (attempt === ATTEMPTS) throw eraseIncomplete("it was found in the rewritten file");
    await delay(RETRY_MS);
  }
}

async function expectEmptyWal(db: Database): Promise<void> {
  if (await emptyWal(db)) return;
  throw eraseIncomplete("a reader has kept the WAL from being emptied");
}

/** How many needles are left in the files. Null if they cannot be searched. */
async function countLeft(path: string, needles: Needles): Promise<number | null> {
  const result = await searchFiles({ path, needles: [...needles] });
  return result?.left ?? null;
}

export function eraseIncomplete(why: string): RunStoreError {
  return new RunStoreError(
    "ERASE_INCOMPLETE",
    `what was erased may still be in the files, since ${why}: call it again`,
  );
}
