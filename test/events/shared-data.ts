import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { EventLike } from "../../src/events/event.ts";

const beside = fileURLToPath(new URL("../../../shared/data", import.meta.url));
const directory = process.env.RUNNER_DATA_DIR ?? beside;

export const recordedDirectory = `${directory}/recorded`;
export const version1File = `${directory}/v1/threads.db`;
export const recordedMissing = !existsSync(recordedDirectory);
export const version1Missing = !existsSync(version1File);
/** For the title of a suite that is skipped without its data. */
export const needs = (path: string, missing: boolean): string =>
  missing ? ` (SKIPPED: ${path} is missing, set RUNNER_DATA_DIR)` : "";

export interface RecordedTurn {
  readonly scenario: string;
  readonly turn: number;
  readonly input: { readonly state?: unknown; readonly messages?: unknown };
  readonly events: EventLike[];
}

export function readRecordedTurns(): RecordedTurn[] {
  if (recordedMissing) return [];
  return readdirSync(recordedDirectory)
    .filter((file) => file.endsWith(".jsonl"))
    .flatMap((file) => readFileSync(`${recordedDirectory}/${file}`, "utf8").trim().split("\n"))
    .map((line) => JSON.parse(line) as RecordedTurn);
}
