/** How many runs lie between the two views of a thread, so that the older one serves a folded history. */
const RUNS_BETWEEN = 50;

/** Of a thread with a larger view, in bytes, only one is kept: attachments do not get shorter. */
const MAX_TWO_BYTES = 512 * 1024;

/** A view that is kept, without its content. */
export interface KeptView {
  /** The last row that the view shows: see `ViewRequest`. */
  readonly upToId: number;
  /** How many runs of the thread there are up to that row. */
  readonly runs: number;
}

/**
 * Which of the views of a thread to drop after `added`, of `bytes` bytes, was kept. `kept` has all of them, in
 * the order of the thread. Two remain: the latest and, in a thread that is long enough, an older one.
 */
export function viewsToDrop(
  kept: readonly KeptView[],
  added: number,
  bytes: number,
): readonly KeptView[] {
  if (bytes > MAX_TWO_BYTES) return kept.filter(({ upToId }) => upToId !== added);
  const last = kept.at(-1);
  // Reading all runs of a short thread again costs no more than reading those between two views.
  if (last?.upToId === added && last.runs <= RUNS_BETWEEN) return kept.slice(0, -1);
  const [oldest, middle, latest] = kept;
  if (oldest === undefined || middle === undefined || latest === undefined) return [];
  const isFarApart = middle.runs - oldest.runs >= RUNS_BETWEEN;
  return [latest.upToId === added && !isFarApart ? middle : oldest];
}
