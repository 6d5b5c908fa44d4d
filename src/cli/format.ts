const UNITS = ["B", "kB", "MB", "GB", "TB"];

/** A number of bytes for people, such as "1.2 MB". */
export function size(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}

/**
 * A time as "2026-01-31 12:00:00", in UTC. `ms` is in milliseconds since the epoch. Another program may have stored what is
 * no time: that is shown as it is.
 */
export function time(ms: number): string {
  if (Number.isNaN(new Date(ms).getTime())) return shown(String(ms));
  return new Date(ms).toISOString().slice(0, 19).replace("T", " ");
}

/** "1 run", "2 runs". */
export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

/**
 * Text that a terminal only shows. Control characters could move the cursor, or write over what was printed
 * before: users choose the ids and texts of threads.
 */
export function shown(text: string): string {
  return text.replace(
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters to replace.
    /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** The beginning of a text, on one line. */
export function short(text: string, length: number): string {
  const line = shown(text.replaceAll(/\s+/g, " ").trim());
  const characters = [...line];
  return characters.length > length ? `${characters.slice(0, length - 1).join("")}…` : line;
}
