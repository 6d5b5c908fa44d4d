import { closeSync, fstatSync, openSync, readSync, writeSync } from "node:fs";
import type { Database } from "better-sqlite3";

const CHUNK_BYTES = 1024 * 1024;

/**
 * Writes the WAL's own content over itself, so that the next sync puts all of it on the disk.
 *
 * When a sync fails, the kernel may mark the pages that it could not write as clean: programs still read
 * them from memory, but no later sync writes them. That leaves a hole in the WAL on the disk. After a
 * power cut the frames behind the hole are lost, and the frames before it override newer pages of the
 * database.
 *
 * The write lock is held meanwhile: without that lock, no process can append to the WAL, restart it or
 * truncate it. Readers go on. A checkpoint that empties the WAL is no alternative: it waits for readers
 * while it holds the write lock, so one long reader would keep every process from writing.
 */
export function rewriteWal(db: Database, walPath: string): void {
  const rewrite = db.transaction(() => {
    const fd = openSync(walPath, "r+");
    try {
      const { size } = fstatSync(fd);
      const chunk = Buffer.alloc(Math.min(size, CHUNK_BYTES));
      for (let at = 0; at < size; ) {
        const length = readSync(fd, chunk, 0, Math.min(chunk.length, size - at), at);
        if (length === 0) break;
        for (let done = 0; done < length; ) {
          done += writeSync(fd, chunk, done, length - done, at + done);
        }
        at += length;
      }
    } finally {
      closeSync(fd);
    }
  });
  rewrite.immediate();
}
