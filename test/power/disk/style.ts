import type { Random } from "../../support/random.ts";

/** A change that is not synced yet: its file and its time. */
export interface Unsynced {
  readonly file: string;
  /** The position in the file, in bytes. Null for the file's size, or a name in the directory. */
  readonly at: number | null;
  /** The begin of the write, in ticks of the record's clock. */
  readonly begin: number;
}

/** Decides which unsynced changes are on the disk after the power cut. */
export interface Style {
  readonly name: string;
  /**
   * Chooses one of `versions` of a sector, size or name, which are in order of time. -1 is the synced
   * version before them.
   */
  readonly choose: (versions: readonly Unsynced[]) => number;
  /**
   * Whether the sector is torn: bytes of the chosen version up to some position, then bytes of the
   * other.
   */
  readonly tears: () => boolean;
}

const PAGE_BYTES = 4096;

/** One of many ways in which a disk may lose unsynced changes. Seeded by `random`. */
export function pickStyle(
  random: Random,
  window: { readonly from: number; readonly to: number },
): Style {
  const none = (): number => -1;
  const all = (versions: readonly Unsynced[]) => versions.length - 1;
  const any = (versions: readonly Unsynced[]) => random.integer(-1, versions.length - 1);
  const never = () => false;
  const survival = random.pick([0.1, 0.5, 0.9, 0.97]);
  const middle = random.integer(window.from, window.to);
  const name = random.pick([
    "nothing",
    "nothing",
    "everything",
    "sectors",
    "sectors",
    "pages",
    "pages",
    "late",
    "early",
    "one-file",
    "other-files",
    "data-without-names",
    "torn",
  ] as const);
  const chosen = new Map<string, boolean>();
  const sticky = (key: string, probability: number) => {
    const known = chosen.get(key) ?? random.chance(probability);
    chosen.set(key, known);
    return known;
  };
  switch (name) {
    case "nothing":
      return { name, choose: none, tears: never };
    case "everything":
      return { name, choose: all, tears: never };
    case "sectors":
      // Each sector of 512 bytes independently, in any version since the last sync.
      return {
        name,
        choose: (versions) => (random.chance(survival) ? all(versions) : any(versions)),
        tears: never,
      };
    case "torn":
      return { name, choose: any, tears: () => random.chance(0.3) };
    case "pages":
      // The kernel writes back whole pages.
      return {
        name,
        choose: (versions) => {
          const [first] = versions;
          if (first === undefined) return -1;
          const page = first.at === null ? "other" : Math.floor(first.at / PAGE_BYTES);
          return sticky(`${first.file} ${page}`, survival) ? all(versions) : -1;
        },
        tears: never,
      };
    case "late":
      // The last writes were done before earlier writes.
      return {
        name,
        choose: (versions) => ((versions.at(-1)?.begin ?? 0) >= middle ? all(versions) : -1),
        tears: never,
      };
    case "early":
      return {
        name,
        choose: (versions) => versions.findLastIndex(({ begin }) => begin <= middle),
        tears: never,
      };
    case "one-file":
    case "other-files": {
      const suffix = random.pick(["-wal", ".db"]);
      const wanted = name === "one-file";
      const survives = ({ file }: Unsynced) => file.endsWith(suffix) === wanted;
      return {
        name: `${name} ${suffix}`,
        choose: (versions) => (versions[0] && survives(versions[0]) ? all(versions) : -1),
        tears: never,
      };
    }
    case "data-without-names":
      // All bytes, but neither sizes nor directory entries.
      return {
        name,
        choose: (versions) => (versions[0]?.at === null ? -1 : all(versions)),
        tears: never,
      };
  }
}
