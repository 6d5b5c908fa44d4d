import { describeValue } from "./describe-value.ts";

/** The error of an option of another name. `caller`: the function that was called. */
export function noSuchOption(caller: string, name: string, known: readonly string[]): TypeError {
  const expected = known.join(", ");
  return new TypeError(
    `${caller}: expected one of the options ${expected}, got ${describeValue(name)}`,
  );
}

/** Refuses options of another name: a misspelt one would be as good as none. @throws {TypeError} */
export function expectNoOther(caller: string, unknown: object, known: readonly string[]): void {
  const [first] = Object.keys(unknown);
  if (first !== undefined) throw noSuchOption(caller, first, known);
}
