import { type Span, unpackPieces } from "./pieces.ts";
import { placesOf } from "./places.ts";
import type { ReadSpan } from "./put-back.ts";
import type { Chunk } from "./thread-values.ts";

/** The parts of logs that the values of a run are made of. With `slots`, only values of these slots. */
export function spansIn(
  sharedEvents: string | null,
  slots?: (slot: string) => boolean,
): readonly Span[] {
  const places = placesOf({ shared_events: sharedEvents, shared_input: null });
  const wanted = slots === undefined ? places : places.filter(([slot]) => slots(slot));
  return wanted.flatMap(([, , packed]) =>
    unpackPieces(packed).filter((piece) => typeof piece === "object"),
  );
}

/** Reads parts of the logs of one thread from `chunks`, rows of these logs in any order. */
export function spanReader(chunks: readonly Chunk[]): ReadSpan {
  const logs = new Map<number, Chunk[]>();
  for (const chunk of chunks) {
    const log = logs.get(chunk.log) ?? [];
    logs.set(chunk.log, log);
    log.push(chunk);
  }
  for (const log of logs.values()) log.sort((a, b) => a.at - b.at);
  return ({ log, from, length }) => {
    const to = from + length;
    const parts: string[] = [];
    let done = from;
    for (const { at, text } of logs.get(log) ?? []) {
      if (at + text.length <= done) continue;
      if (at > done || done >= to) break;
      const part = text.slice(done - at, to - at);
      parts.push(part);
      done += part.length;
    }
    return done === to ? parts.join("") : null;
  };
}

/** The part of each log that holds all of these spans. */
export function spansByLog(spans: Iterable<Span>): readonly Span[] {
  const found = new Map<number, Span>();
  for (const span of spans) {
    const known = found.get(span.log);
    const from = Math.min(span.from, known?.from ?? span.from);
    const ends = [span, known ?? span].map((one) => one.from + one.length);
    found.set(span.log, { log: span.log, from, length: Math.max(...ends) - from });
  }
  return [...found.values()];
}
