/** A part of a log. A log is a text that only grows at its end: its parts never change. */
export interface Span {
  readonly log: number;
  /** UTF-16 units from the beginning of the log. */
  readonly from: number;
  readonly length: number;
}

/** A part of a value: in a log, or written out. */
export type Piece = Span | string;

/** Pieces as they are stored, one after another: each span as three numbers, each text as a string. */
export type PackedPieces = readonly (number | string)[];

export function packPieces(pieces: readonly Piece[]): PackedPieces {
  const packed: (number | string)[] = [];
  for (const piece of pieces) {
    if (typeof piece === "string") packed.push(piece);
    else packed.push(piece.log, piece.from, piece.length);
  }
  return packed;
}

/** Whether a value that came from JSON is pieces as `packPieces` makes them. */
export function isPacked(value: unknown): value is PackedPieces {
  if (!Array.isArray(value)) return false;
  const items = value as readonly unknown[];
  let at = 0;
  while (at < items.length) {
    if (typeof items[at] === "string") at++;
    else if (items.slice(at, at + 3).filter(isUnits).length === 3) at += 3;
    else return false;
  }
  return true;
}

const isUnits = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0;

export function unpackPieces(packed: PackedPieces): readonly Piece[] {
  const pieces: Piece[] = [];
  for (let at = 0; at < packed.length; ) {
    const first = packed[at];
    if (typeof first === "string") {
      pieces.push(first);
      at++;
    } else {
      const [log, from, length] = packed.slice(at, at + 3) as [number, number, number];
      pieces.push({ log, from, length });
      at += 3;
    }
  }
  return pieces;
}

/** The pieces of a part of the value with these `pieces`. */
export function slicePieces(
  pieces: readonly Piece[],
  from: number,
  length: number,
): readonly Piece[] {
  const found: Piece[] = [];
  const to = from + length;
  let at = 0;
  for (const piece of pieces) {
    const start = Math.max(from - at, 0);
    const end = Math.min(to - at, piece.length);
    if (start < end) found.push(slicePiece(piece, start, end));
    at += piece.length;
    if (at >= to) break;
  }
  return found;
}

function slicePiece(piece: Piece, start: number, end: number): Piece {
  if (typeof piece === "string") return piece.slice(start, end);
  return { log: piece.log, from: piece.from + start, length: end - start };
}

/** The value with these `pieces`. Null if a part of a log is missing. */
export function joinPieces(
  pieces: readonly Piece[],
  readSpan: (span: Span) => string | null,
): string | null {
  const parts: string[] = [];
  for (const piece of pieces) {
    const text = typeof piece === "string" ? piece : readSpan(piece);
    if (text === null) return null;
    parts.push(text);
  }
  return parts.join("");
}
