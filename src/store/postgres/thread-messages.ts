import type { MessageDigest } from "../../events/message-digests.ts";

import type { ThreadRow } from "./thread-row.ts";

/** The messages of this many runs are packed into one row of `messages`. */
export const RUNS_PER_PACK = 32;

/** So are messages whose JSON has this many UTF-16 units: the row then fits a page. */
const MAX_PACK_LENGTH = 6000;

/** A row with messages: of a run, or of several runs that are packed. */
export interface StoredMessages {
  readonly epoch: number;
  readonly isPack: boolean;
  /** JSON of `MessageDigest`s, or empty. Of a pack, JSON of `PackedRun`s. */
  readonly messages: string;
}

/** The messages of a run in a pack. */
type PackedRun = readonly [epoch: number, messages: readonly MessageDigest[]];

/**
 * The messages of a thread, by id their digests, as the stored runs have them up to `epoch`.
 *
 * Each stored run keeps the messages that the runs before it do not have. For a reader that does not know
 * the thread, the messages of several runs are packed into one row from time to time.
 */
export class ThreadMessages {
  readonly #digests = new Map<string, number>();
  /** JSON of the `PackedRun`s that are not packed yet, without the brackets around them. */
  #recent = "";
  #recentRuns = 0;
  /** The epoch of the last claim of the thread, with all of whose runs these are its messages. */
  epoch = 0;
  readonly #row: ThreadRow;

  constructor(row: ThreadRow) {
    this.#row = row;
  }

  /** Whether they are of the thread that this is a row of, however old: it may be another one of the same id. */
  isOf({ madeAt, version }: ThreadRow): boolean {
    return this.#row.madeAt === madeAt && this.#row.version?.server === version?.server;
  }

  get size(): number {
    return this.#digests.size;
  }

  digestOf(id: string): number | undefined {
    return this.#digests.get(id);
  }

  /** Adds what the database has, in its order. */
  read({ epoch, isPack, messages }: StoredMessages): void {
    const runs = isPack ? parsePack(messages) : [[epoch, parseDigests(messages)] as const];
    for (const [, digests] of runs)
      for (const [id, digest] of digests) this.#digests.set(id, digest);
    if (isPack) this.#forgetRecent();
    else this.#addRecent(epoch, messages);
  }

  /** Adds the messages of a run that is stored. Returns what is new in them, as JSON for its row. */
  add(epoch: number, messages: readonly MessageDigest[]): string {
    const added: MessageDigest[] = [];
    for (const message of messages) {
      const [id, digest] = message;
      if (this.#digests.get(id) === digest) continue;
      this.#digests.set(id, digest);
      added.push(message);
    }
    const json = jsonOf(added);
    this.#addRecent(epoch, json);
    return json;
  }

  /** The messages of the recent runs, for a row of `messages`. Null until there are enough. */
  takePack(): string | null {
    if (this.#recentRuns < RUNS_PER_PACK && this.#recent.length < MAX_PACK_LENGTH) return null;
    const pack = `[${this.#recent}]`;
    this.#forgetRecent();
    return pack;
  }

  #addRecent(epoch: number, json: string): void {
    this.#recentRuns++;
    if (json === "") return;
    const run = `[${epoch},${json}]`;
    this.#recent = this.#recent === "" ? run : `${this.#recent},${run}`;
  }

  #forgetRecent(): void {
    this.#recent = "";
    this.#recentRuns = 0;
  }
}

/** As a run has them in its row. */
export function jsonOf(messages: readonly MessageDigest[]): string {
  return messages.length === 0 ? "" : JSON.stringify(messages);
}

/** Of a pack, what a fork keeps: the messages of runs up to an epoch, whose epochs are raised by `base`. */
export function forkedPack(pack: string, upTo: number, base: number): string {
  const kept = parsePack(pack).filter(([epoch]) => epoch <= upTo);
  return JSON.stringify(kept.map(([epoch, messages]) => [epoch + base, messages]));
}

/** Of a pack, the messages of runs before an epoch. */
export function messagesBefore(pack: string, before: number): readonly MessageDigest[] {
  return parsePack(pack).flatMap(([epoch, messages]) => (epoch < before ? messages : []));
}

/** A pack of the messages of runs, each as the run has them in its row. */
export function packOf(
  runs: readonly { readonly epoch: number; readonly messages: string }[],
): string {
  const entries = runs.filter(({ messages }) => messages !== "");
  return `[${entries.map(({ epoch, messages }) => `[${epoch},${messages}]`).join(",")}]`;
}

/** Another program may have written it: what cannot be read is left out. */
function parsePack(json: string): readonly PackedRun[] {
  return parseArray(json).flatMap((run) => {
    const [epoch, messages] = Array.isArray(run) ? run : [];
    return typeof epoch === "number" && Array.isArray(messages)
      ? [[epoch, digestsIn(messages)]]
      : [];
  });
}

const parseDigests = (json: string) => digestsIn(json === "" ? [] : parseArray(json));

function digestsIn(entries: readonly unknown[]): readonly MessageDigest[] {
  return entries.filter(
    (entry): entry is MessageDigest =>
      Array.isArray(entry) && typeof entry[0] === "string" && typeof entry[1] === "number",
  );
}

function parseArray(json: string): readonly unknown[] {
  try {
    const value: unknown = JSON.parse(json);
    return Array.isArray(value) ? value : [];
  } catch {
    return [];
  }
}
