export interface Part {
  readonly kind: "same" | "removed" | "added";
  readonly text: string;
}

/** Pairs of words beyond which two texts are not compared. */
const MAX_PAIRS = 4_000_000;

/**
 * What was removed from one text and added to it to make the other, word by word: by the longest sequence of
 * words that both have. Null if the texts are too long.
 */
export function wordDifference(before: string, after: string): readonly Part[] | null {
  const a = before.match(/\s+|\S+/g) ?? [];
  const b = after.match(/\s+|\S+/g) ?? [];
  if (a.length * b.length > MAX_PAIRS) return null;
  const width = b.length + 1;
  // common[i * width + j]: how many words a[i..] and b[j..] have in common, in order.
  const common = new Uint16Array((a.length + 1) * width);
  const at = (i: number, j: number) => common[i * width + j] ?? 0;
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      common[i * width + j] =
        a[i] === b[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
    }
  }

  const parts: { kind: Part["kind"]; text: string }[] = [];
  const add = (kind: Part["kind"], word: string | undefined) => {
    const last = parts.at(-1);
    if (last?.kind === kind) last.text += word;
    else parts.push({ kind, text: word ?? "" });
  };
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      add("same", a[i++]);
      j++;
    } else if (j === b.length || (i < a.length && at(i + 1, j) >= at(i, j + 1))) {
      add("removed", a[i++]);
    } else {
      add("added", b[j++]);
    }
  }
  return parts;
}
