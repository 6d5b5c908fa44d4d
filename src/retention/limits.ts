import { describeValue } from "../protocol/describe-value.ts";
import type { PurgeLimits } from "../protocol/threads.ts";

/** Which threads and runs are removed by themselves, and how often that is done. */
export interface Retention extends PurgeLimits {
  /** Milliseconds between two purges. Default 3 600 000, an hour. */
  readonly everyMs?: number | undefined;
}

interface Rule {
  readonly expected: string;
  readonly accepts: (value: unknown) => boolean;
}

function whole(min: number, unit: string, max = Number.MAX_SAFE_INTEGER): Rule {
  return {
    expected: `a whole number of ${unit} from ${min}${max < Number.MAX_SAFE_INTEGER ? ` to ${max}` : ""}`,
    accepts: (value) =>
      Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max,
  };
}

const LIMITS: Readonly<Record<keyof PurgeLimits, Rule>> = {
  maxAgeMs: whole(0, "milliseconds"),
  maxRunsPerThread: whole(1, "runs"),
  maxThreads: whole(0, "threads"),
  maxBytes: whole(0, "bytes"),
  keepLatest: whole(0, "runs"),
  archivedOnly: { expected: "true or false", accepts: (value) => typeof value === "boolean" },
};

/** The limits that remove anything. */
const REMOVING: readonly (keyof PurgeLimits)[] = [
  "maxAgeMs",
  "maxRunsPerThread",
  "maxThreads",
  "maxBytes",
];

/** The longest delay that a timer of Node takes. https://nodejs.org/api/timers.html */
export const MAX_TIMER_MS = 2 ** 31 - 1;

const RETENTION: Readonly<Record<keyof Retention, Rule>> = {
  ...LIMITS,
  everyMs: whole(1, "milliseconds", MAX_TIMER_MS),
};

/** What is wrong with the limits of a purge, or null. */
export function faultInLimits(limits: object): string | null {
  return faultIn(limits, LIMITS);
}

/** What is wrong with the option `retention`, or null. */
export function faultInRetention(retention: unknown): string | null {
  if (typeof retention !== "object" || retention === null || Array.isArray(retention)) {
    return "expected an object of limits";
  }
  const fault = faultIn(retention, RETENTION);
  if (fault !== null) return fault;
  const limits = retention as Retention;
  const removesNothing = REMOVING.every((name) => limits[name] === undefined);
  return removesNothing ? `expected one of the limits ${REMOVING.join(", ")}` : null;
}

function faultIn(given: object, rules: Readonly<Record<string, Rule>>): string | null {
  for (const [name, value] of Object.entries(given)) {
    const rule = Object.hasOwn(rules, name) ? rules[name] : undefined;
    if (rule === undefined) {
      return `expected one of the fields ${Object.keys(rules).join(", ")}, got ${JSON.stringify(name)}`;
    }
    if (value !== undefined && !rule.accepts(value))
      return `expected ${name} to be ${rule.expected}, got ${describeValue(value)}`;
  }
  return null;
}
