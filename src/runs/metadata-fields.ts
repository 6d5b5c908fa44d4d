import type { MetadataField } from "../protocol/thread-messages.ts";

/** The fields of an object by which a list can be filtered. `json` is its JSON. */
export function scalarFields(json: string): MetadataField[] {
  return Object.entries(JSON.parse(json) as Record<string, unknown>)
    .filter(([, value]) => value === null || typeof value !== "object")
    .map(([key, value]) => [key, JSON.stringify(value)]);
}
