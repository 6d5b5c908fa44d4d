import { closeSync, fstatSync, openSync, readSync, writeSync } from "node:fs";
import type { Database } from "better-sqlite3";

const CHUNK_BYTES = 1024 * 1024;

/**
 * Writes to the WAL what it holds already. The next sync then puts all of it on the disk.
 *
 * When a sync fails, the kernel may drop what it could not write, and call it clean: programs read it
 * still, and no later sync writes it. That leaves a hole in the WAL on the disk. After a power cut the
 * frames behind the hole are lost, and those before it override newer pages of the database.
 *
 * The write lock is held meanwhile: a process needs it to append to the WAL, to begin it anew and to
 * cut it back. Readers are not waited for. A checkpoint that empties the WAL would wait for them with
 * the write lock held, and a long reader would keep every process from writing.
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
