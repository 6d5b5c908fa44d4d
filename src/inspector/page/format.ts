const UNITS = ["B", "kB", "MB", "GB", "TB"];

/** A number of bytes, such as "1.2 MB". */
export function size(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}

/** A duration such as "12 ms", "3.4 s", "2 min 5 s", "3 h 4 min", "2 d 3 h". */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
  const seconds = Math.round(ms / 1000);
  const steps: readonly (readonly [number, string, number, string])[] = [
    [86_400, "d", 3600, "h"],
    [3600, "h", 60, "min"],
    [60, "min", 1, "s"],
  ];
  const step = steps.find(([length]) => seconds >= length);
  if (step === undefined) return `${seconds} s`;
  const [length, unit, part, partUnit] = step;
  const rest = Math.floor((seconds % length) / part);
  return `${Math.floor(seconds / length)} ${unit}${rest === 0 ? "" : ` ${rest} ${partUnit}`}`;
}

/** How long ago, such as "now", "5 min ago". `ms` is in milliseconds since the epoch. */
export function ago(ms: number, now: number): string {
  const passed = now - ms;
  if (passed < 5000) return "now";
  // Whole seconds, and one unit: the text is not to change more often than it has to.
  const [value = "", unit = ""] = duration(Math.max(passed, 10_000)).split(" ");
  return passed < 10_000 ? `${Math.floor(passed / 1000)} s ago` : `${value} ${unit} ago`;
}

const DATE = new Intl.DateTimeFormat(undefined, {
  dateStyle: "medium",
  timeStyle: "medium",
  hour12: false,
});

/** A time in the reader's own time zone. `ms` is in milliseconds since the epoch. */
export function time(ms: number): string {
  return DATE.format(ms);
}

/** The time of day, to the millisecond. */
export function clock(ms: number): string {
  const at = new Date(ms);
  const two = (value: number) => String(value).padStart(2, "0");
  const fraction = String(at.getMilliseconds()).padStart(3, "0");
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${fraction}`;
}

const NUMBER = new Intl.NumberFormat("en");

/** Such as "36,000". */
export function number(value: number): string {
  return NUMBER.format(value);
}

/** "1 run", "2,000 runs". */
export function count(value: number, noun: string): string {
  return `${number(value)} ${noun}${value === 1 ? "" : "s"}`;
}

/** A value as text: strings as they are, all else as JSON. */
export function asText(value: unknown): string {
  return typeof value === "string" ? value : (JSON.stringify(value, null, 2) ?? "");
}

/** What a text holds if it is JSON of an object or a list, else undefined. */
export function parsed(text: string): object | undefined {
  if (!/^\s*[[{]/.test(text)) return undefined;
  try {
    return JSON.parse(text) as object;
  } catch {
    return undefined;
  }
}
