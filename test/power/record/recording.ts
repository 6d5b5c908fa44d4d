import { closeSync, ftruncateSync, openSync, readSync, writeSync } from "node:fs";
import { join } from "node:path";

/** One call of a process, as the library recorded it. Times are ticks of one clock. */
export interface Call {
  readonly kind: CallKind;
  readonly begin: number;
  /** Infinity: the process was killed within the call. */
  readonly end: number;
  /** The inode of the file. 0 for calls that name files. */
  readonly inode: number;
  readonly offset: number;
  /** The number of bytes written, or the new size. */
  readonly length: number;
  /** The bytes written, or the names, separated by a slash. */
  readonly data: Buffer;
  readonly failed: boolean;
}

const KINDS = [
  "none",
  "write",
  "truncate",
  "sync",
  "sync-directory",
  "create",
  "unlink",
  "rename",
  "link",
  "mark",
] as const;
export type CallKind = (typeof KINDS)[number];

/** In the order of the library's kinds of files. */
const SYNCED = ["database", "wal"] as const;
export type SyncedFile = (typeof SYNCED)[number];
/** The positions of the failing syncs of a file, from 1. At most 8. */
export type FailedSyncs = { readonly [File in SyncedFile]?: readonly number[] };

// As in record.h.
const HEADER_BYTES = 4096;
const ENTRY_BYTES = 96;
const MAX_ENTRIES = 2 ** 19;
const FIRST_FAULTS = 40;
const FAULTS_BYTES = 88;
const PLACES = 24;
/** Sparse: it takes only the recorded bytes on the disk. */
const RECORD_BYTES = 2 ** 30;

/** The recorded calls on the files of one directory: made, filled by processes, and read. */
export class Recorder {
  readonly #library: string;
  readonly #directory: string;
  readonly #path: string;
  /** A write to this file is a mark in the record. */
  readonly markPath: string;

  /** `directory`: its files are recorded. `place`: another directory for the recorder's own files. */
  constructor(library: string, directory: string, place: string, failedSyncs: FailedSyncs) {
    this.#library = library;
    this.#directory = directory;
    this.#path = join(place, "record");
    this.markPath = join(place, "marks");
    closeSync(openSync(this.markPath, "w"));
    const header = Buffer.alloc(HEADER_BYTES);
    header.writeBigUInt64LE(BigInt(RECORD_BYTES), 32);
    for (const [at, file] of SYNCED.entries()) {
      for (const [place, number] of (failedSyncs[file] ?? []).entries()) {
        header.writeBigUInt64LE(
          BigInt(number),
          FIRST_FAULTS + at * FAULTS_BYTES + PLACES + place * 8,
        );
      }
    }
    const fd = openSync(this.#path, "w");
    writeSync(fd, header);
    ftruncateSync(fd, RECORD_BYTES);
    closeSync(fd);
  }

  /** The environment variables of a recorded process. */
  get environment(): Record<string, string> {
    return {
      LD_PRELOAD: this.#library,
      POWER_RECORD: this.#path,
      POWER_DIRECTORY: this.#directory,
      POWER_MARK: this.markPath,
      // Calls through io_uring would bypass the library.
      UV_USE_IO_URING: "0",
    };
  }

  /** All calls so far, by their begin. */
  read(): Call[] {
    const fd = openSync(this.#path, "r");
    try {
      const header = readAt(fd, 0, HEADER_BYTES);
      if (numberAt(header, 24) !== 0) throw new Error("the record is full");
      const entries = readAt(fd, HEADER_BYTES, numberAt(header, 8) * ENTRY_BYTES);
      const dataStart = HEADER_BYTES + MAX_ENTRIES * ENTRY_BYTES;
      const data = readAt(fd, dataStart, numberAt(header, 16));
      const calls: Call[] = [];
      for (let at = 0; at < entries.length; at += ENTRY_BYTES) {
        const entry = entries.subarray(at, at + ENTRY_BYTES);
        if (entry.readUInt32LE(0) === 0) continue;
        const from = numberAt(entry, 48) - dataStart;
        const end = numberAt(entry, 16);
        calls.push({
          kind: KINDS[entry.readUInt32LE(4)] ?? "none",
          begin: numberAt(entry, 8),
          end: end === 0 ? Number.POSITIVE_INFINITY : end,
          inode: numberAt(entry, 24),
          offset: numberAt(entry, 32),
          length: numberAt(entry, 40),
          data: data.subarray(from, from + numberAt(entry, 56)),
          failed: entry.readInt32LE(68) !== 0,
        });
      }
      return calls.sort((a, b) => a.begin - b.begin);
    } finally {
      closeSync(fd);
    }
  }
}

/** The number of reported sync failures, to prove that a fault happened. */
export function failuresIn(calls: readonly Call[]): number {
  return calls.filter(({ kind, failed }) => kind === "sync" && failed).length;
}

function readAt(fd: number, position: number, length: number): Buffer {
  const buffer = Buffer.alloc(length);
  let done = 0;
  while (done < length) {
    const read = readSync(fd, buffer, done, length - done, position + done);
    if (read === 0) throw new Error("the record is cut off");
    done += read;
  }
  return buffer;
}

const numberAt = (buffer: Buffer, offset: number) => Number(buffer.readBigUInt64LE(offset));
