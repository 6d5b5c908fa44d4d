import { Refusal } from "./refusal.ts";

/** The most bytes of the body of a change to a thread. */
export const MAX_CHANGE_BYTES = 64 * 1024;

/** The body of a request. Reading it leaves it to the handler as well. */
export interface RequestBody {
  /** Throws a `Refusal` for a body of more bytes than `limit`. */
  text(limit: number): Promise<string>;
}

/** The body of a request of the Fetch API. */
export function bodyOf(request: Request): RequestBody {
  return {
    async text(limit) {
      const { body } = request.clone();
      return body === null ? "" : (await readAll(body, limit)).toString("utf8");
    },
  };
}

/** Reads a stream to its end, or no further than `limit`. */
export async function readAll(body: AsyncIterable<Uint8Array>, limit: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  const iterator = body[Symbol.asyncIterator]();
  let bytes = 0;
  while (bytes <= limit) {
    const next = await nextOf(iterator);
    if (next.done === true) return Buffer.concat(chunks);
    bytes += next.value.byteLength;
    chunks.push(next.value);
  }
  // Not awaited: the clone of a body is given up only when the body itself is.
  iterator.return?.().catch(() => undefined);
  throw new Refusal(413, "BODY_TOO_LARGE", `expected a body of at most ${limit} bytes`);
}

async function nextOf(iterator: AsyncIterator<Uint8Array>): Promise<IteratorResult<Uint8Array>> {
  try {
    return await iterator.next();
  } catch {
    // The client has left, or its connection is broken.
    throw new Refusal(400, "INVALID_REQUEST", "the body ended early");
  }
}

/** @throws {Refusal} the text is no JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Refusal(400, "INVALID_REQUEST", "expected JSON in the body");
  }
}
