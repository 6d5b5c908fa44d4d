/** Whether a value can be the id of a thread, a run or a resource: a non-empty string of well-formed Unicode. */
export function isId(value: unknown): value is string {
  // UTF-8 cannot hold a lone surrogate: a store would give back a different id.
  return typeof value === "string" && value !== "" && value.isWellFormed();
}
