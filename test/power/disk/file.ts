import type { Random } from "../../support/random.ts";
import type { Style } from "./style.ts";

export const SECTOR_BYTES = 512;
/** The page size of the kernel's page cache, whose pages are dirty or clean. */
const PAGE_BYTES = 4096;
const SECTORS_PER_PAGE = PAGE_BYTES / SECTOR_BYTES;

/** The content of a sector from one write on. */
interface Version {
  readonly file: string;
  readonly at: number;
  readonly begin: number;
  readonly end: number;
  readonly bytes: Buffer;
  /** True for the content that a truncation left in the sector: it is there if the truncation is. */
  readonly isCut: boolean;
}

interface Size {
  readonly file: string;
  readonly at: null;
  readonly begin: number;
  readonly end: number;
  readonly size: number;
  readonly isCut: boolean;
}

export interface Period {
  readonly begin: number;
  readonly end: number;
}

/**
 * One file: its content for programs, and the content that the disk certainly holds.
 *
 * For each sector, the disk holds the version that the last successful sync guarantees, or any later
 * version. Sectors and the size of the file are independent of each other. A truncation has happened as
 * a whole or not at all: no file system leaves holes there.
 *
 * A successful sync guarantees the writes that had ended before it began. A failed sync guarantees
 * nothing and leaves a hole, like on Linux: the dirty pages may be on the disk or not, and count as
 * clean. A later sync writes such a page only if the page was written again.
 */
export class SimulatedFile {
  readonly name: string;
  /** The content that programs read. */
  #cache: Buffer = Buffer.alloc(0);
  #size = 0;
  /** The content that the disk certainly holds. */
  #base: Buffer = Buffer.alloc(0);
  #baseSize = 0;
  readonly #unsynced = new Map<number, Version[]>();
  #sizes: Size[] = [];
  /** Pages that a failed sync marked as clean, and the tick at which the sync ended. */
  readonly #calledClean = new Map<number, number>();

  /** `content`: the content that is certainly on the disk. */
  constructor(name: string, content: Buffer = Buffer.alloc(0)) {
    this.name = name;
    this.#cache = Buffer.from(content);
    this.#base = Buffer.from(content);
    this.#size = content.length;
    this.#baseSize = content.length;
  }

  /** The bytes that programs read. */
  get content(): Buffer {
    return this.#cache.subarray(0, this.#size);
  }

  write(offset: number, data: Buffer, when: Period): void {
    const to = offset + data.length;
    this.#cache = withRoom(this.#cache, to);
    data.copy(this.#cache, offset);
    if (to > this.#size) this.#resize(to, when);
    this.#note(Math.floor(offset / SECTOR_BYTES), Math.ceil(to / SECTOR_BYTES), when, false);
  }

  truncate(size: number, when: Period): void {
    const before = this.#size;
    if (size === before) return;
    this.#cache = withRoom(this.#cache, size);
    this.#cache.fill(0, size);
    this.#resize(size, when);
    if (size > before) return;
    this.#note(Math.floor(size / SECTOR_BYTES), Math.ceil(before / SECTOR_BYTES), when, true);
  }

  /** Applies a successful sync that began and ended at these ticks. */
  synced(sync: Period): void {
    for (const page of this.#dirtyPages(sync)) {
      for (let sector = page * SECTORS_PER_PAGE; sector < (page + 1) * SECTORS_PER_PAGE; sector++) {
        const versions = this.#unsynced.get(sector);
        const covered = versions?.findLastIndex(({ end }) => end < sync.begin) ?? -1;
        if (versions === undefined || covered === -1) continue;
        this.#keep(sector, versions[covered]?.bytes ?? ZEROS);
        if (covered === versions.length - 1) this.#unsynced.delete(sector);
        else versions.splice(0, covered + 1);
      }
      this.#calledClean.delete(page);
    }
    const covered = this.#sizes.findLastIndex(({ end }) => end < sync.begin);
    if (covered === -1) return;
    this.#baseSize = this.#sizes[covered]?.size ?? 0;
    this.#sizes.splice(0, covered + 1);
  }

  /** Applies a failed sync that began and ended at these ticks. */
  failed(sync: Period): void {
    for (const [sector, versions] of this.#unsynced) {
      if (versions[0] === undefined || versions[0].begin > sync.end) continue;
      this.#calledClean.set(Math.floor(sector / SECTORS_PER_PAGE), sync.end);
    }
  }

  /** The content that the disk may hold after a power cut now. `style` chooses among the versions. */
  afterCut(style: Style, random: Random): Buffer {
    const chosen = this.#sizes.length === 0 ? -1 : style.choose(this.#sizes);
    const size = this.#sizes[chosen]?.size ?? this.#baseSize;
    const image = Buffer.alloc(size);
    this.#base.copy(image, 0, 0, Math.min(size, this.#base.length));
    const lastCut = this.#sizes.slice(0, chosen + 1).findLast(({ isCut }) => isCut);
    // In order of the sectors, so that a random choice does not depend on when other sectors were
    // written.
    const sectors = [...this.#unsynced].sort(([a], [b]) => a - b);
    for (const [sector, versions] of sectors) {
      const at = sector * SECTOR_BYTES;
      const gone = versions.findLastIndex(({ isCut, begin }) => isCut && begin === lastCut?.begin);
      versions[gone]?.bytes.copy(image, at);
      const possible = versions.slice(gone + 1).filter(({ isCut }) => !isCut);
      const version = possible[style.choose(possible)];
      if (version === undefined || at >= size) continue;
      const tear = style.tears() ? random.integer(1, SECTOR_BYTES - 1) : SECTOR_BYTES;
      version.bytes.copy(image, at, 0, Math.min(tear, size - at));
    }
    return image;
  }

  #resize(size: number, { begin, end }: Period): void {
    const isCut = size < this.#size;
    this.#size = size;
    this.#sizes.push({ file: this.name, at: null, begin, end, size, isCut });
  }

  /** Notes the current content of the sectors. */
  #note(from: number, to: number, { begin, end }: Period, isCut: boolean): void {
    for (let sector = from; sector < to; sector++) {
      const at = sector * SECTOR_BYTES;
      const bytes = Buffer.alloc(SECTOR_BYTES);
      this.#cache.copy(bytes, 0, at, at + SECTOR_BYTES);
      const version = { file: this.name, at, begin, end, bytes, isCut };
      const versions = this.#unsynced.get(sector);
      if (versions === undefined) this.#unsynced.set(sector, [version]);
      else versions.push(version);
    }
  }

  /** Whether a sync writes the page: no failed sync marked it as clean, or it was written again. */
  #dirtyPages(sync: Period): Set<number> {
    const dirty = new Set<number>();
    for (const [sector, versions] of this.#unsynced) {
      const page = Math.floor(sector / SECTORS_PER_PAGE);
      const cleanSince = this.#calledClean.get(page) ?? -1;
      if (versions.some(({ begin, end }) => begin > cleanSince && end < sync.begin))
        dirty.add(page);
    }
    return dirty;
  }

  #keep(sector: number, bytes: Buffer): void {
    const at = sector * SECTOR_BYTES;
    this.#base = withRoom(this.#base, at + SECTOR_BYTES);
    bytes.copy(this.#base, at);
  }
}

const ZEROS = Buffer.alloc(SECTOR_BYTES);

/** The buffer, or a longer buffer that begins with it and continues with zeros. */
function withRoom(buffer: Buffer, length: number): Buffer {
  if (buffer.length >= length) return buffer;
  const longer = Buffer.alloc(Math.max(length, buffer.length * 2));
  buffer.copy(longer);
  return longer;
}
