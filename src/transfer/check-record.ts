import { isFields } from "../events/view/message.ts";
import { describeValue } from "../protocol/describe-value.ts";
import { RunStoreError } from "../protocol/errors.ts";
import { isId } from "../protocol/ids.ts";
import { EXPORT_FORMAT, type ExportRecord } from "./records.ts";

type Check = (value: unknown) => boolean;

const isText: Check = (value) => typeof value === "string" && value.isWellFormed();
const isTextOrNull: Check = (value) => value === null || isText(value);
const isCount: Check = (value) => Number.isSafeInteger(value) && Number(value) >= 0;
const isTime: Check = (value) => Number.isSafeInteger(value);
const isFlag: Check = (value) => typeof value === "boolean";
const isIdOrNull: Check = (value) => value === null || isId(value);
const isArray: Check = (value) => Array.isArray(value);
const isOrigin: Check = (value) =>
  value === null || (isFields(value) && isId(value.threadId) && isId(value.runId));
const isDigest: Check = (value) =>
  Array.isArray(value) && value.length === 2 && isText(value[0]) && isCount(value[1]);

/** What the fields of each record must be. */
const FIELDS: Readonly<Record<ExportRecord["type"], Readonly<Record<string, Check>>>> = {
  thread: {
    ...{ threadId: isId, resourceId: isIdOrNull, agentId: isTextOrNull, title: isTextOrNull },
    ...{ metadata: isFields, archived: isFlag, createdAt: isTime, updatedAt: isTime },
    ...{ forkedFrom: isOrigin, epoch: isCount },
  },
  messages: {
    threadId: isId,
    messages: (value) => Array.isArray(value) && value.every(isDigest),
  },
  run: {
    ...{ threadId: isId, runId: isId, epoch: isCount, agentId: isTextOrNull, endedAt: isTime },
    ...{ events: isArray, isLast: isFlag },
  },
  events: { threadId: isId, events: isArray, isLast: isFlag },
  end: { threadId: isId, runs: isCount, checksum: isText },
  void: { threadId: isId },
  total: { threads: isCount, runs: isCount },
};

/** @throws {RunStoreError} `EXPORT_DAMAGED`: it is no record. `SCHEMA_TOO_NEW`: it is one of a later format. */
export function checkRecord(value: unknown): ExportRecord {
  const { type, format } = (value ?? {}) as { type?: unknown; format?: unknown };
  if (type === "thread" && isCount(format) && Number(format) > EXPORT_FORMAT) {
    throw new RunStoreError(
      "SCHEMA_TOO_NEW",
      `expected records of format ${EXPORT_FORMAT}, got ${format}: a newer release wrote them; update the package`,
    );
  }
  const fields =
    typeof type === "string" && Object.hasOwn(FIELDS, type) ? FIELDS[type as "run"] : null;
  if (fields === null) throw damaged(`expected a record of an export, got ${describeValue(value)}`);
  for (const [name, isRight] of Object.entries(fields)) {
    const got = (value as Record<string, unknown>)[name];
    if (isRight(got)) continue;
    throw damaged(`a record "${type}" has a wrong ${name}: ${describeValue(got)}`);
  }
  return value as ExportRecord;
}

export function damaged(message: string): RunStoreError {
  return new RunStoreError("EXPORT_DAMAGED", message);
}
