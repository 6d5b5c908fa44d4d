import fc from "fast-check";
import { expect, test } from "vitest";
import { compactJournal } from "../../src/runs/compact-journal.ts";
import { LongJournals } from "../../src/runs/long-journals.ts";
import { turns } from "../fixtures/conversations.ts";

/** Segments of one or more events. */
function segmentsOf(events: readonly object[], length: number): string[] {
  const count = Math.ceil(events.length / length);
  return Array.from({ length: count }, (_, at) =>
    JSON.stringify(events.slice(at * length, (at + 1) * length)),
  );
}

test("a run that is compacted in pieces is stored as one that is compacted whole", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...turns),
      fc.integer({ min: 1, max: 4 }),
      fc.array(fc.nat(5), { maxLength: 5 }),
      (turn, length, sizes) => {
        const input = JSON.stringify(turn.input);
        const segments = segmentsOf(turn.events, length);
        const long = new LongJournals();
        let from = 0;
        for (const size of sizes) {
          const piece = segments.slice(from, from + size);
          expect(long.add({ run: "r", from, input, segments: piece })).toBe(true);
          from += piece.length;
        }
        const rest = { run: "r", from, input, segments: segments.slice(from) };
        const whole = compactJournal({ input, segments });
        expect(long.finish(rest)).toEqual(sizes.length === 0 ? null : whole);
      },
    ),
  );
});

test("a run of which a piece is lost, or comes twice, is given up", () => {
  const long = new LongJournals();
  const segments = ['[{"type":"CUSTOM"}]'];
  const piece = { run: "r", from: 0, input: null, segments };
  expect(long.add({ ...piece, from: 1 })).toBe(false);
  long.add(piece);
  expect(long.add({ ...piece, from: 2 })).toBe(false);
  expect(long.finish({ ...piece, from: 1 })).toBeNull();
});

test("a few runs are kept at a time: the oldest is given up", () => {
  const long = new LongJournals();
  const pieceOf = (run: string) => ({ run, from: 0, input: null, segments: ["[]"] });
  const runs = Array.from({ length: 9 }, (_, at) => `run-${at}`);
  for (const run of runs) expect(long.add(pieceOf(run))).toBe(true);
  const isKept = (run: string) => long.finish({ ...pieceOf(run), from: 1 }) !== null;
  expect(runs.filter((run) => !isKept(run))).toEqual(["run-0"]);
});
