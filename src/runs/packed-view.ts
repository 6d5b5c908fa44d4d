import { deflate, inflate } from "../native/native-calls.ts";
import { RunStoreError } from "../protocol/errors.ts";

/** A view as JSON, its messages in chunks. */
export interface ViewJson {
  /** JSON of the view without its messages. */
  readonly rest: string;
  readonly chunks: readonly ViewChunk[];
}

export interface ViewChunk {
  /** A JSON array of messages. */
  readonly json: string;
  /** The same as it is kept. Null if it was not kept yet. */
  readonly packed: Uint8Array | null;
}

/** Bytes of a number in the table of lengths. */
const NUMBER_BYTES = 4;

/**
 * A view as it is kept: how many parts there are, the length of each in bytes, then the parts, deflated one by
 * one. The first part is the view without its messages, the others are the chunks. What comes from a kept
 * view is not deflated again.
 */
export function packView({ rest, chunks }: ViewJson): Uint8Array {
  const parts = [deflate(rest), ...chunks.map(({ json, packed }) => packed ?? deflate(json))];
  const table = Buffer.alloc(NUMBER_BYTES * (parts.length + 1));
  table.writeUInt32LE(parts.length);
  for (const [at, { length }] of parts.entries()) {
    table.writeUInt32LE(length, NUMBER_BYTES * (at + 1));
  }
  return Buffer.concat([table, ...parts]);
}

/** Undefined for what `packView` did not make: another program, or an earlier version, has written it. */
export function unpackView(packed: Uint8Array): ViewJson | undefined {
  const [rest, ...chunks] = partsOf(Buffer.from(packed.buffer, packed.byteOffset, packed.length));
  if (rest === undefined) return undefined;
  try {
    const json = inflate(rest).toString();
    const { version }: { version?: unknown } = JSON.parse(json);
    if (version !== 1) return undefined;
    return {
      rest: json,
      chunks: chunks.map((chunk) => ({ json: inflate(chunk).toString(), packed: chunk })),
    };
  } catch (error) {
    // This thread is about to be terminated: the view is not damaged.
    if (error instanceof RunStoreError) throw error;
    return undefined;
  }
}

/** No parts if the lengths do not add up. */
function partsOf(packed: Buffer): readonly Buffer[] {
  const count = packed.length < NUMBER_BYTES ? 0 : packed.readUInt32LE();
  let at = NUMBER_BYTES * (count + 1);
  if (at > packed.length) return [];
  const parts: Buffer[] = [];
  for (let part = 0; part < count; part++) {
    const length = packed.readUInt32LE(NUMBER_BYTES * (part + 1));
    parts.push(packed.subarray(at, at + length));
    at += length;
  }
  return at === packed.length ? parts : [];
}
