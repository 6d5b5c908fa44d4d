/**
 * Texts are compared in blocks of these lengths first, and then unit by unit. A block costs one step.
 */
const BLOCKS = [65_536, 4096, 256];

/**
 * The number of equal UTF-16 units at the beginnings of `a` from `aFrom` and `b` from `bFrom`. The
 * common part does not end inside a surrogate pair.
 */
export function commonPrefix(a: string, aFrom: number, b: string, bFrom: number): number {
  const max = Math.min(a.length - aFrom, b.length - bFrom);
  let length = 0;
  for (const block of BLOCKS) {
    while (
      length + block <= max &&
      a.slice(aFrom + length, aFrom + length + block) ===
        b.slice(bFrom + length, bFrom + length + block)
    ) {
      length += block;
    }
  }
  while (length < max && a.charCodeAt(aFrom + length) === b.charCodeAt(bFrom + length)) length++;
  return length > 0 && isHighSurrogate(b.charCodeAt(bFrom + length - 1)) ? length - 1 : length;
}

/**
 * The number of equal UTF-16 units at the ends of `a` up to `aTo` and `b` up to `bTo`, `max` at most.
 * The common part does not begin inside a surrogate pair.
 */
export function commonSuffix(a: string, aTo: number, b: string, bTo: number, max: number): number {
  const most = Math.min(aTo, bTo, max);
  let length = 0;
  for (const block of BLOCKS) {
    while (
      length + block <= most &&
      a.slice(aTo - length - block, aTo - length) === b.slice(bTo - length - block, bTo - length)
    ) {
      length += block;
    }
  }
  while (length < most && a.charCodeAt(aTo - length - 1) === b.charCodeAt(bTo - length - 1)) {
    length++;
  }
  return length > 0 && isLowSurrogate(b.charCodeAt(bTo - length)) ? length - 1 : length;
}

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff;
}

function isLowSurrogate(unit: number): boolean {
  return unit >= 0xdc00 && unit <= 0xdfff;
}
