import { familyOf, headOf } from "./families.ts";
import { LongTexts } from "./long-texts.ts";
import { type Piece, packPieces, type Span, slicePieces } from "./pieces.ts";
import type { Place } from "./put-back.ts";
import type { TakenOut } from "./take-out.ts";
import { commonLength, diff } from "./text-diff.ts";

/** A shorter new part of a value is written into its pieces, not appended to a log. */
const MIN_APPENDED = 48;

/** A shorter copy is written into the pieces: its position would take as much space. */
const MIN_SPAN = 24;

/** A longer text is appended to a log, so that later runs do not repeat it. */
const MAX_WRITTEN = 256;

/** UTF-16 units of pieces up to which even a short value is not stored whole. */
const MIN_COST = 512;

/** A stored value. The next values of its family are compared with it. */
export interface StoredValue {
  readonly text: string;
  readonly pieces: readonly Piece[];
  /** UTF-16 units of the pieces of all values of the slot since a value was stored whole. */
  readonly cost: number;
}

/** A text that was appended to a log. */
export interface Chunk {
  readonly log: number;
  /** The length of the log before, in UTF-16 units. */
  readonly at: number;
  readonly text: string;
}

/** The stored values of a thread. */
export interface StoredThread {
  /** The latest value of each slot. */
  readonly latest: ReadonlyMap<string, StoredValue>;
  /** The length of each log with pieces of these values. */
  readonly logEnds: ReadonlyMap<number, number>;
}

/**
 * Stores the values of a thread that repeat from run to run. Each value is stored as pieces of logs,
 * and only new text is appended to the logs.
 *
 * Values of the same kind, such as the messages of snapshots, have a slot. A value is compared with the
 * latest values of its family. The common parts use the same pieces, and new parts are appended to a log.
 * If a new part follows the end of a log, it is appended to that log, and both are one piece. So a list
 * that grows in each run has as many pieces after a thousand runs as after two.
 *
 * A value that changes in many places has many pieces. When the pieces of the latest values take more
 * space than the value itself, the value is stored whole.
 *
 * No value refers to another value. Each is read from logs alone, and stays readable when others are
 * deleted.
 *
 * Values are JSON, or other well-formed text.
 */
export class ThreadValues {
  /** By family and slot, the latest values, without their heads. */
  readonly #latest = new Map<string, Map<string, StoredValue>>();
  readonly #logEnds: Map<number, number>;
  readonly #longTexts = new LongTexts();
  readonly #openLog: () => number;
  #chunks: Chunk[] = [];
  #size = 0;

  /** `openLog` gives a new log a number. */
  constructor(stored: StoredThread, openLog: () => number) {
    this.#openLog = openLog;
    this.#logEnds = new Map(stored.logEnds);
    for (const [slot, value] of stored.latest) {
      this.#remember(slot, value);
      this.#learnLongTexts(value);
    }
  }

  /** The remembered UTF-16 units, approximately. */
  get size(): number {
    return this.#size + this.#longTexts.size;
  }

  /** The pieces of a new value of a slot. */
  put(slot: string, text: string): readonly Piece[] {
    const head = headOf(slot, text);
    const base = this.#baseFor(slot, text.slice(head.length));
    const isWhole = base !== undefined && base.cost > Math.max(MIN_COST, text.length);
    const pieces = isWhole ? [this.#appendTo(undefined, text)] : this.#compare(base, text, head);
    const cost = isWhole ? 0 : (base?.cost ?? 0) + lengthOf(pieces);
    this.#remember(slot, { text, pieces, cost });
    return pieces;
  }

  /** The places of the new values of a run. */
  putAll(values: TakenOut["values"]): readonly Place[] {
    return values.map((value) => {
      const { slot, index } = value;
      return [slot, index, "text" in value ? packPieces(this.put(slot, value.text)) : value.pieces];
    });
  }

  /** The texts that were appended to logs since the last call. */
  takeChunks(): readonly Chunk[] {
    const chunks = this.#chunks;
    this.#chunks = [];
    return chunks;
  }

  #remember(slot: string, { text, pieces, cost }: StoredValue): void {
    const family = familyOf(slot);
    const latest = this.#latest.get(family) ?? new Map<string, StoredValue>();
    this.#latest.set(family, latest);
    this.#size += text.length - (latest.get(slot)?.text.length ?? 0);
    const { length } = headOf(slot, text);
    const body = slicePieces(pieces, length, text.length - length);
    latest.set(slot, { text: text.slice(length), pieces: body, cost });
  }

  /** The stored value of the family that shares the most with `text`. */
  #baseFor(slot: string, text: string): StoredValue | undefined {
    const candidates = [...(this.#latest.get(familyOf(slot))?.values() ?? [])];
    let [base] = candidates;
    if (candidates.length < 2) return base;
    let most = 0;
    for (const candidate of candidates) {
      const length = commonLength(candidate.text, text);
      if (length > most) [base, most] = [candidate, length];
    }
    return base;
  }

  /** The pieces of `text`: its head, the parts after it that it shares with `base`, and new pieces for the rest. */
  #compare(base: StoredValue | undefined, text: string, head: string): readonly Piece[] {
    const draft: Piece[] = [];
    if (head !== "") this.#addNew(draft, head);
    for (const edit of diff(base?.text ?? "", text.slice(head.length))) {
      if (typeof edit === "string") {
        this.#addNew(draft, edit);
      } else {
        const known = slicePieces(base?.pieces ?? [], edit.from, edit.length);
        for (const piece of known) add(draft, piece);
      }
    }
    return this.#tidy(draft, text);
  }

  #addNew(draft: Piece[], text: string): void {
    for (const part of this.#longTexts.split(text)) {
      const isNew = typeof part === "string" && part.length >= MIN_APPENDED;
      add(draft, isNew ? this.#appendTo(draft.at(-1), part) : part);
    }
  }

  /** Appends `text` to the log that ends with `before`, or else to a new log. */
  #appendTo(before: Piece | undefined, text: string): Span {
    const isAtEnd =
      typeof before === "object" && this.#logEnds.get(before.log) === before.from + before.length;
    const log = isAtEnd ? before.log : this.#openLog();
    const from = isAtEnd ? before.from + before.length : 0;
    const span = { log, from, length: text.length };
    this.#logEnds.set(log, from + text.length);
    this.#chunks.push({ log, at: from, text });
    this.#longTexts.learn(text, span);
    return span;
  }

  /** Joins small pieces. A text that becomes long by that is appended to a log. */
  #tidy(draft: readonly Piece[], text: string): readonly Piece[] {
    const pieces: Piece[] = [];
    let written = "";
    let at = 0;
    const flush = () => {
      if (written === "") return;
      add(pieces, written.length > MAX_WRITTEN ? this.#appendTo(pieces.at(-1), written) : written);
      written = "";
    };
    for (const piece of draft) {
      if (typeof piece === "string" || piece.length < MIN_SPAN) {
        written += text.slice(at, at + piece.length);
      } else {
        flush();
        add(pieces, piece);
      }
      at += piece.length;
    }
    flush();
    return pieces;
  }

  #learnLongTexts({ text, pieces }: StoredValue): void {
    let at = 0;
    for (const piece of pieces) {
      if (typeof piece === "object") {
        this.#longTexts.learn(text.slice(at, at + piece.length), piece);
      }
      at += piece.length;
    }
  }
}

/** The UTF-16 units of stored pieces. */
export function lengthOf(pieces: readonly Piece[]): number {
  return JSON.stringify(packPieces(pieces)).length;
}

/** Adds a piece. If it follows the last piece in the same log, the two are joined. */
function add(pieces: Piece[], piece: Piece): void {
  const last = pieces.at(-1);
  const follows =
    typeof last === "object" &&
    typeof piece === "object" &&
    last.log === piece.log &&
    last.from + last.length === piece.from;
  if (follows) pieces[pieces.length - 1] = { ...last, length: last.length + piece.length };
  else pieces.push(piece);
}
