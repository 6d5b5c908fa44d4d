import { commonPrefix, commonSuffix } from "./common-text.ts";

/** A part of the base text that the new text repeats. */
export interface Copy {
  readonly from: number;
  readonly length: number;
}

/** A part of the new text: copied from the base, or written out. */
export type Edit = Copy | string;

/** Strings of at least this length, in UTF-16 units, are searched for in the base. */
const MIN_ANCHOR = 16;

/**
 * A copy found by an anchor has at least this length. Shorter copies would cut a new message into many
 * pieces, and each piece takes space.
 */
const MIN_COPY = 256;

/** The number of positions that are remembered of a frequent anchor. */
const MAX_PLACES = 8;

/** How many UTF-16 units of the base after a copy are searched for at the end of a new part. */
const TAIL_HEAD = 8;

/** How much may follow the end of a list, where less than that is like the base. */
const MAX_TAIL = 32;

/**
 * The edits that make `text` from `base`, in the order of `text`. The texts are JSON, and its quoted
 * strings are searched for. Both texts are well-formed, and so is each edit.
 *
 * A list that only grows, and a value that changes in one place, need one comparison of the two texts.
 * For other changes, the parts between the common ends are searched.
 */
export function diff(base: string, text: string): readonly Edit[] {
  const prefix = commonPrefix(base, 0, text, 0);
  const most = Math.min(base.length, text.length) - prefix;
  const suffix = commonSuffix(base, base.length, text, text.length, most);
  const edits: Edit[] = [{ from: 0, length: prefix }];
  const baseTo = base.length - suffix;
  /** The position in `base` up to which edits exist. */
  let baseAt = prefix;
  let at = prefix;
  const textTo = text.length - suffix;
  for (const copy of anchoredCopies(base.slice(baseAt, baseTo), text.slice(at, textTo))) {
    const from = prefix + copy.baseAt;
    edits.push(...gap(base.slice(baseAt, from), baseAt, text.slice(at, prefix + copy.at)));
    edits.push({ from, length: copy.length });
    baseAt = from + copy.length;
    at = prefix + copy.at + copy.length;
  }
  edits.push(...gap(base.slice(baseAt, baseTo), baseAt, text.slice(at, textTo)));
  edits.push({ from: baseTo, length: suffix });
  return edits.filter((edit) => edit.length > 0);
}

/** The number of equal UTF-16 units at the beginnings and the ends of two texts. */
export function commonLength(a: string, b: string): number {
  const prefix = commonPrefix(a, 0, b, 0);
  const most = Math.min(a.length, b.length) - prefix;
  return prefix + commonSuffix(a, a.length, b, b.length, most);
}

interface AnchoredCopy {
  readonly at: number;
  readonly baseAt: number;
  readonly length: number;
}

/**
 * Long parts of `text` that `base` has too, in the order of `text` and without overlap. If `base` has a
 * part several times, the first one after the last copy is taken. The new items of a list are then one
 * part.
 */
function* anchoredCopies(base: string, text: string): Generator<AnchoredCopy> {
  if (base.length < MIN_COPY || text.length < MIN_COPY) return;
  const anchors = anchorsIn(base);
  /** The position in `text` up to which copies exist. */
  let done = 0;
  /** In `base`, the end of the last copy. */
  let baseDone = 0;
  let next = 0;
  for (const part of text.split('"')) {
    const at = next;
    next += part.length + 1;
    if (at < done || part.length < MIN_ANCHOR) continue;
    const found = anchors.get(part);
    const baseAt = found?.find((place) => place >= baseDone) ?? found?.[0];
    if (baseAt === undefined) continue;
    // Do not extend into the copy before: the last item of a list ends like the new items.
    const most = Math.min(at - done, baseAt < baseDone ? baseAt : baseAt - baseDone);
    const before = commonSuffix(base, baseAt, text, at, most);
    const length = before + commonPrefix(base, baseAt, text, at);
    if (length < MIN_COPY) continue;
    done = at - before + length;
    baseDone = baseAt - before + length;
    yield { at: at - before, baseAt: baseAt - before, length };
  }
}

/** The quoted strings that are long enough to be searched for, with their positions. */
function anchorsIn(base: string): ReadonlyMap<string, readonly number[]> {
  const anchors = new Map<string, number[]>();
  let next = 0;
  for (const part of base.split('"')) {
    const at = next;
    next += part.length + 1;
    if (part.length < MIN_ANCHOR) continue;
    const places = anchors.get(part);
    if (places === undefined) anchors.set(part, [at]);
    else if (places.length < MAX_PLACES) places.push(at);
  }
  return anchors;
}

/**
 * The edits between two copies. New items of a list are often followed by another small change, as in
 * `…,"new item"],"step":6}`, or by less text than before, as in `…,"new item"]`. The text after the list in
 * the base, at `baseAt`, is searched for after the new items, so that the items are an edit of their own, as
 * in the runs before.
 */
function gap(base: string, baseAt: number, text: string): readonly Edit[] {
  const at = tailOf(base, text);
  const length = at < 0 ? 0 : commonPrefix(base, 0, text, at);
  if (length === 0) return [text];
  return [text.slice(0, at), { from: baseAt, length }, text.slice(at + length)];
}

/** Where `text` goes on as `base` begins, or -1. */
function tailOf(base: string, text: string): number {
  if (base.length >= TAIL_HEAD) {
    const at = text.lastIndexOf(base.slice(0, TAIL_HEAD));
    if (at >= 0) return at;
  }
  // The end of a list, with little behind it.
  const [first] = base;
  const at = first === "]" || first === "}" ? text.lastIndexOf(first) : -1;
  return text.length - at <= MAX_TAIL ? at : -1;
}
