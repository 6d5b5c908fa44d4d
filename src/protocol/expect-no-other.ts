import { describeValue } from "./describe-value.ts";

/** Refuses an option of another name: a misspelt one would be as good as none. @throws {TypeError} */
export function expectNoOther(name: string, unknown: object, known: readonly string[]): void {
  const [first] = Object.keys(unknown);
  if (first === undefined) return;
  throw new TypeError(
    `${name}: expected one of the options ${known.join(", ")}, got ${describeValue(first)}`,
  );
}
