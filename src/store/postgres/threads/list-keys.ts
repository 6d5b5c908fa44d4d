import { createHash } from "node:crypto";
import type { MetadataField } from "../../../protocol/thread-messages.ts";
import { toStored } from "../stored-ids.ts";

/** Characters of a resource's id that stand in indexes. Longer ids are hashed. */
const MAX_RESOURCE = 100;

/** A resource, as lists are kept by it. */
export function toResourceKey(resourceId: string | null): string {
  if (resourceId === null) return "";
  if (resourceId.length <= MAX_RESOURCE) return toStored(resourceId);
  return `\\sha256 ${hashOf(resourceId)}`;
}

/** A field of metadata, as a filter looks it up: a value may be of any length. */
export function toFieldKey(field: MetadataField): string {
  return hashOf(JSON.stringify(field));
}

/** The query that finds the words which begin with one. Words have no quotes in them. */
export const toPrefixQuery = (word: string) => `'${word}':*`;

const hashOf = (text: string) => createHash("sha256").update(text).digest("base64");
