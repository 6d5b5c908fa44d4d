import { InvalidArgumentError } from "commander";

/** For a whole number from `min`, up to `max` if that is given. */
export function wholeNumber(min: number, max = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const number = Number(text);
    if (/^\d+$/.test(text) && number >= min && number <= max) return number;
    const upTo = max === Number.MAX_SAFE_INTEGER ? "" : ` to ${max}`;
    throw new InvalidArgumentError(`Expected a whole number from ${min}${upTo}.`);
  };
}

const DURATIONS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 7 * 86_400_000,
};

/** "90d" in milliseconds. */
export function duration(text: string): number {
  return scaled(text, DURATIONS, "Expected a duration such as 90d, 12h or 30m.");
}

const SIZES: Readonly<Record<string, number>> = {
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
};

/** "10GB" in bytes. */
export function byteSize(text: string): number {
  return scaled(text, SIZES, "Expected a size such as 500MB or 10GB.");
}

function scaled(text: string, units: Readonly<Record<string, number>>, expected: string): number {
  const [, number, unit = ""] = /^(\d+(?:\.\d+)?)\s*([a-z]+)$/i.exec(text) ?? [];
  const scale = Object.hasOwn(units, unit.toLowerCase()) ? units[unit.toLowerCase()] : undefined;
  if (number === undefined || scale === undefined) throw new InvalidArgumentError(expected);
  return Math.round(Number(number) * scale);
}

type Scalar = string | number | boolean | null;

/** Adds "name=value" to the fields. A value that is a JSON number, true, false or null is that. */
export function metadataField(
  text: string,
  fields: Readonly<Record<string, Scalar>> = {},
): Record<string, Scalar> {
  const at = text.indexOf("=");
  if (at < 1) throw new InvalidArgumentError("Expected name=value.");
  return { ...fields, [text.slice(0, at)]: scalar(text.slice(at + 1)) };
}

function scalar(text: string): Scalar {
  if (!/^(?:true|false|null|-?\d+(?:\.\d+)?)$/.test(text)) return text;
  return JSON.parse(text) as Scalar;
}
