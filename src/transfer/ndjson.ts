import { damaged } from "./check-record.ts";
import type { ExportRecord } from "./records.ts";

/**
 * The records of an export as NDJSON: a line for each. For `stream.pipeline` into a file, a socket or a
 * compressor, which then sets the pace: there is never more than a record in memory.
 */
export async function* toNdjson(
  records: AsyncIterable<ExportRecord> | Iterable<ExportRecord>,
): AsyncGenerator<string, void, undefined> {
  for await (const record of records) yield `${JSON.stringify(record)}\n`;
}

/**
 * The records in NDJSON, for `importThreads`. `source` is a stream of bytes or texts, such as that of
 * `fs.createReadStream`. It is read as fast as the records are consumed.
 *
 * @throws {RunStoreError} `EXPORT_DAMAGED`: a line is no JSON.
 */
export async function* fromNdjson(
  source: AsyncIterable<Uint8Array | string> | Iterable<Uint8Array | string>,
): AsyncGenerator<ExportRecord, void, undefined> {
  let number = 0;
  for await (const line of linesOf(source)) {
    number++;
    // An editor may have added one at the end.
    if (line.trim() === "") continue;
    yield parse(line, number);
  }
}

/** A record is checked by `importThreads`. */
function parse(line: string, number: number): ExportRecord {
  try {
    return JSON.parse(line) as ExportRecord;
  } catch {
    throw damaged(
      `line ${number} is no JSON: it is cut off, or the file is not one of exportThreads`,
    );
  }
}

async function* linesOf(
  source: AsyncIterable<Uint8Array | string> | Iterable<Uint8Array | string>,
): AsyncGenerator<string, void, undefined> {
  const decoder = new TextDecoder();
  /** The beginning of a line that goes on in the next chunk. */
  let begun: string[] = [];
  for await (const chunk of source) {
    const text = typeof chunk === "string" ? chunk : decoder.decode(chunk, { stream: true });
    let from = 0;
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n", from)) {
      begun.push(text.slice(from, end));
      yield begun.join("");
      begun = [];
      from = end + 1;
    }
    if (from < text.length) begun.push(text.slice(from));
  }
  begun.push(decoder.decode());
  const last = begun.join("");
  if (last !== "") yield last;
}
