import { isFields } from "../events/view/message.ts";
import { describeValue } from "../protocol/describe-value.ts";
import { isId } from "../protocol/ids.ts";
import type { RunRef } from "../store/thread-store.ts";

/** The most threads or runs that one page has. */
const MAX_LIMIT = 500;

/** The most fields of metadata that a list is filtered by. */
const MAX_FIELDS = 20;

/** @throws {TypeError} */
export function assertId(value: unknown, name: string): asserts value is string {
  if (!isId(value)) {
    throw new TypeError(
      `expected ${name} to be a non-empty string of well-formed Unicode, got ${describeValue(value)}`,
    );
  }
}

/** @throws {TypeError} */
export function assertMetadata(value: unknown): void {
  if (!isFields(value)) {
    throw new TypeError(`expected metadata to be an object, got ${describeValue(value)}`);
  }
  let json: unknown;
  try {
    json = JSON.stringify(value);
  } catch (cause) {
    throw new TypeError("expected metadata to be an object that JSON can hold", { cause });
  }
  // A `toJSON`, such as that of a Date, may give something else.
  if (typeof json !== "string" || !json.startsWith("{")) {
    throw new TypeError(`expected metadata to be an object in JSON, got ${describeValue(json)}`);
  }
}

interface Rule {
  readonly expected: string;
  readonly accepts: (value: unknown) => boolean;
}

const isText = (value: unknown) => typeof value === "string" && value.isWellFormed();

const LIMIT: Rule = {
  expected: `a whole number from 1 to ${MAX_LIMIT}`,
  accepts: (v) => Number.isInteger(v) && Number(v) >= 1 && Number(v) <= MAX_LIMIT,
};

/** The fields of a query for threads or for runs. */
const QUERY_RULES: ReadonlyMap<string, Rule> = new Map([
  ["agentId", { expected: "a string", accepts: isText }],
  ["resourceId", { expected: "a string", accepts: isText }],
  ["search", { expected: "a string", accepts: isText }],
  ["cursor", { expected: "a cursor of an earlier page", accepts: (v) => v === null || isText(v) }],
  ["archived", { expected: "true or false", accepts: (value) => typeof value === "boolean" }],
  [
    "order",
    { expected: '"updated" or "created"', accepts: (v) => v === "updated" || v === "created" },
  ],
  [
    "metadata",
    {
      expected: `an object of at most ${MAX_FIELDS} strings, numbers, booleans and nulls`,
      accepts: (value) =>
        isFields(value) &&
        Object.keys(value).length <= MAX_FIELDS &&
        Object.values(value).every(isScalar),
    },
  ],
  ["limit", LIMIT],
]);

const HOLDERS_RULES: ReadonlyMap<string, Rule> = new Map([
  ["threadId", { expected: "a non-empty string of well-formed Unicode", accepts: isId }],
  ["limit", LIMIT],
]);

const RUN_RULES: ReadonlyMap<string, Rule> = new Map([
  [
    "epoch",
    {
      expected: "a whole number that is not negative",
      accepts: (v) => Number.isSafeInteger(v) && Number(v) >= 0,
    },
  ],
  ["runId", { expected: "a string", accepts: isText }],
]);

/** @throws {TypeError} */
export function assertThreadQuery(query: object): void {
  assertFields(query, QUERY_RULES);
}

/** @throws {TypeError} */
export function assertHoldersQuery(query: object): void {
  assertFields(query, HOLDERS_RULES);
}

/** The name of a run: other fields, such as those of a summary, are passed over. @throws {TypeError} */
export function assertRunRef(run: RunRef): void {
  const { epoch, runId } = isFields(run) ? run : {};
  // Undefined would pass as a field that is left out.
  assertFields({ epoch: epoch ?? null, runId }, RUN_RULES);
}

function assertFields(query: object, rules: ReadonlyMap<string, Rule>): void {
  if (!isFields(query)) {
    throw new TypeError(`expected an object of options, got ${describeValue(query)}`);
  }
  for (const [name, value] of Object.entries(query)) {
    const rule = rules.get(name);
    if (rule === undefined) {
      const known = [...rules.keys()].join(", ");
      throw new TypeError(`expected one of the options ${known}, got ${describeValue(name)}`);
    }
    if (value === undefined || rule.accepts(value)) continue;
    throw new TypeError(`expected ${name} to be ${rule.expected}, got ${describeValue(value)}`);
  }
}

function isScalar(value: unknown): boolean {
  return value === null || ["string", "number", "boolean"].includes(typeof value);
}
