import { describeValue } from "../protocol/describe-value.ts";
import { isId } from "../protocol/ids.ts";

/** @throws {TypeError} */
export function assertTransfer(name: string, runner: unknown, options: unknown): void {
  if (typeof (runner as { transfer?: unknown } | null | undefined)?.transfer !== "function") {
    throw new TypeError(`${name}: expected a runner, got ${describeValue(runner)}`);
  }
  if (typeof options !== "object" || options === null) {
    throw new TypeError(`${name}: expected an object of options, got ${describeValue(options)}`);
  }
  const { onProgress } = options as { onProgress?: unknown };
  if (onProgress !== undefined && typeof onProgress !== "function") {
    const got = describeValue(onProgress);
    throw new TypeError(`${name}: expected onProgress to be a function, got ${got}`);
  }
}

/** A text is none: it is what `fromNdjson` reads. @throws {TypeError} */
export function assertRecords(records: unknown): void {
  if (typeof records === "object" && records !== null) {
    if (Symbol.asyncIterator in records || Symbol.iterator in records) return;
  }
  const got = describeValue(records);
  throw new TypeError(
    `importThreads: expected the records of exportThreads or fromNdjson, got ${got}`,
  );
}

/** @throws {TypeError} */
export function assertThreadIds(ids: unknown): void {
  if (ids === undefined || (Array.isArray(ids) && ids.every(isId))) return;
  const got = describeValue(ids);
  throw new TypeError(`exportThreads: expected threadIds to be an array of ids, got ${got}`);
}

const ON_CONFLICT: readonly unknown[] = [undefined, "throw", "skip", "replace"];

/** @throws {TypeError} */
export function assertOnConflict(value: unknown): void {
  if (ON_CONFLICT.includes(value)) return;
  throw new TypeError(
    `importThreads: expected onConflict to be "throw", "skip" or "replace", got ${describeValue(value)}`,
  );
}
