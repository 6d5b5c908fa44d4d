/**
 * JSON arrays of the values whose JSON is given, in order, each at most `maxLength` UTF-16 units long. A longer
 * value is in an array of its own. At least one array, which is empty if there are no values.
 */
export function chunksOf(values: Iterable<string>, maxLength: number): readonly string[] {
  const chunks: string[] = [];
  let parts: string[] = [];
  let length = 0;
  for (const part of values) {
    if (length > 0 && length + part.length + 2 > maxLength) {
      chunks.push(`[${parts.join(",")}]`);
      parts = [];
      length = 0;
    }
    parts.push(part);
    length += part.length + 1;
  }
  chunks.push(`[${parts.join(",")}]`);
  return chunks;
}
