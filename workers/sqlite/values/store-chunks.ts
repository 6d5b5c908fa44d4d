import type { Chunk } from "../../../src/events/shared/thread-values.ts";
import { expectChange } from "../database/fault.ts";
import { packText } from "./packed-text.ts";
import type { AppendStatements } from "./statements.ts";

/**
 * UTF-16 units of the texts that are stored as one. Deflate finds no repetition that is farther away than
 * 32 KiB.
 */
const MAX_JOINT_LENGTH = 32 * 1024;

/**
 * Stores texts that were appended to logs of one thread. They are stored as one text, since what a run adds to
 * the messages it also adds to the state: deflated together, the second copy takes almost no space.
 */
export function storeChunks(statements: AppendStatements, chunks: readonly Chunk[]): void {
  let group: Chunk[] = [];
  let length = 0;
  for (const chunk of chunks) {
    if (group.length > 0 && length + chunk.text.length > MAX_JOINT_LENGTH) {
      storeTogether(statements, group);
      group = [];
      length = 0;
    }
    group.push(chunk);
    length += chunk.text.length;
  }
  storeTogether(statements, group);
}

function storeTogether({ insertChunk }: AppendStatements, chunks: readonly Chunk[]): void {
  const stored = packText(chunks.map(({ text }) => text).join(""));
  let holder: number | bigint | null = null;
  let skip = 0;
  for (const { log, at, text } of chunks) {
    const inserted = insertChunk.run(
      log,
      at,
      text.length,
      holder === null ? stored : "",
      holder,
      skip,
    );
    expectChange(inserted, "a value of a run");
    holder ??= inserted.lastInsertRowid;
    skip += text.length;
  }
}
