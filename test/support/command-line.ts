/** An error in the command line. */
export class UsageError extends Error {}

/** The value of an option that is a whole number. */
export function wholeNumber(name: string, value: string | undefined, min: number): number {
  const number = Number(value);
  if (value !== undefined && /^\d+$/.test(value) && number >= min && Number.isSafeInteger(number)) {
    return number;
  }
  throw new UsageError(`expected ${name} to be a whole number from ${min}, got ${value}`);
}

/** The entries of `all` that `--only` names, separated by commas. */
export function only<T extends { readonly name: string }>(
  all: readonly T[],
  what: string,
  names: string | undefined,
): T[] {
  if (names === undefined) throw new UsageError(`expected --only to name ${what}, got nothing`);
  return names.split(",").map((name) => {
    const found = all.find((known) => known.name === name);
    if (found !== undefined) return found;
    const known = all.map((each) => each.name).join(", ");
    throw new UsageError(`expected --only to name some of ${known}; got ${JSON.stringify(name)}`);
  });
}
