import type { ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { ReadableStream } from "node:stream/web";

/**
 * Sends a response of the Fetch API. Never rejects: a Node server would end the process. A client that has
 * left gets nothing more. A body that fails ends the connection, and `onFailure` gets the error.
 */
export async function sendResponse(
  res: ServerResponse,
  response: Response,
  onFailure: (error: unknown) => void,
): Promise<void> {
  try {
    if (res.destroyed) {
      await response.body?.cancel();
      return;
    }
    res.statusCode = response.status;
    for (const [name, value] of response.headers) {
      if (name === "vary" || name === "set-cookie") res.appendHeader(name, value);
      else res.setHeader(name, value);
    }
    if (response.body === null) res.end();
    // The types of browsers know another class of this name: a page imports types of this package.
    else await pipeline(Readable.fromWeb(response.body as ReadableStream), res);
  } catch (error) {
    if (!isPrematureClose(error)) onFailure(error);
    res.destroy();
  }
}

function isPrematureClose(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ERR_STREAM_PREMATURE_CLOSE";
}

/** Passes the body of `res`, once it is whole, through `rewrite`. A body that stays the same is untouched. */
export function rewriteBody(res: ServerResponse, rewrite: (text: string) => string): void {
  const original = { writeHead: res.writeHead, write: res.write, end: res.end };
  const chunks: Uint8Array[] = [];
  const keep = (chunk: unknown, encoding: unknown) => {
    if (typeof chunk === "string") {
      chunks.push(
        Buffer.from(chunk, typeof encoding === "string" ? (encoding as BufferEncoding) : "utf8"),
      );
    } else if (chunk instanceof Uint8Array) {
      chunks.push(chunk);
    }
  };
  const callback = (args: readonly unknown[]) => args.find((arg) => typeof arg === "function");
  Object.assign(res, {
    writeHead(...args: unknown[]) {
      res.removeHeader("content-length");
      return Reflect.apply(original.writeHead, res, args.map(withoutLength));
    },
    write(...args: unknown[]) {
      keep(args[0], args[1]);
      const done = callback(args);
      if (done !== undefined) queueMicrotask(done as () => void);
      return true;
    },
    end(...args: unknown[]) {
      keep(args[0], args[1]);
      Object.assign(res, original);
      if (!res.headersSent) res.removeHeader("content-length");
      const body = Buffer.concat(chunks);
      const text = body.toString("utf8");
      const rewritten = rewrite(text);
      const done = callback(args);
      return Reflect.apply(original.end, res, [
        rewritten === text ? body : rewritten,
        ...(done === undefined ? [] : [done]),
      ]);
    },
  });
}

/** An argument of `writeHead` without the length of a body, as an object or as a list of names and values. */
function withoutLength(argument: unknown): unknown {
  if (typeof argument !== "object" || argument === null) return argument;
  const isLength = (name: unknown) => String(name).toLowerCase() === "content-length";
  if (Array.isArray(argument)) {
    return argument.filter((_, index) => !isLength(argument[index - (index % 2)]));
  }
  return Object.fromEntries(Object.entries(argument).filter(([name]) => !isLength(name)));
}
