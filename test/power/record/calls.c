/*
 * Records the libc calls by which Node and SQLite change files.
 * Preloaded into a process (LD_PRELOAD). Environment:
 *
 *   POWER_RECORD     the record, a file that exists
 *   POWER_DIRECTORY  the directory whose files are recorded, as an absolute path without links
 *   POWER_MARK       a write to this file is a mark in the record
 *   POWER_NO_SYNC    if set, syncs do nothing (for files that need no durability)
 *
 * Writes through a mapping are not recorded. SQLite maps only the -shm file, which is not needed after
 * a power cut.
 */
#define _GNU_SOURCE
#include "record.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) \
  static __typeof__(&name) real; \
  if (real == NULL) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define MAX_FDS 65536

/* What is known of a descriptor. Node closes some without a recorded call: hence the inode. */
static struct {
  enum file_kind kind;
  uint64_t inode;
  /* Failed syncs that were reported to it. */
  uint64_t failures_seen;
} fds[MAX_FDS];

static int ends_with(const char *text, const char *end) {
  size_t length = strlen(text), end_length = strlen(end);
  return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

static int to_absolute(int directory, const char *path, char *absolute) {
  if (path[0] == '/') return snprintf(absolute, PATH_MAX, "%s", path) < PATH_MAX;
  char cwd[PATH_MAX];
  if (directory != AT_FDCWD || getcwd(cwd, sizeof cwd) == NULL) return 0;
  return snprintf(absolute, PATH_MAX, "%s/%s", cwd, path) < PATH_MAX;
}

/* `absolute` has room for PATH_MAX bytes. */
static enum file_kind kind_of(int directory, const char *path, char *absolute) {
  const char *root = getenv("POWER_DIRECTORY");
  const char *mark = getenv("POWER_MARK");
  if (record_header() == NULL || root == NULL || path == NULL) return NOT_RECORDED;
  if (!to_absolute(directory, path, absolute)) return NOT_RECORDED;
  if (mark != NULL && strcmp(absolute, mark) == 0) return MARK_FILE;
  size_t length = strlen(root);
  if (strncmp(absolute, root, length) != 0) return NOT_RECORDED;
  const char *rest = absolute + length;
  if (rest[0] == '\0' || strcmp(rest, "/") == 0) return DIRECTORY;
  if (rest[0] != '/' || strchr(rest + 1, '/') != NULL || ends_with(rest, "-shm")) return NOT_RECORDED;
  if (ends_with(rest, "-wal")) return WAL;
  return ends_with(rest, ".db") ? DATABASE : OTHER;
}

static const char *name_in(const char *absolute) { return strrchr(absolute, '/') + 1; }

static uint64_t inode_of(int fd) {
  struct stat stat;
  return fstat(fd, &stat) == 0 ? stat.st_ino : 0;
}

static enum file_kind recorded(int fd) {
  if (fd < 0 || fd >= MAX_FDS || fds[fd].kind == NOT_RECORDED) return NOT_RECORDED;
  if (inode_of(fd) == fds[fd].inode) return fds[fd].kind;
  fds[fd].kind = NOT_RECORDED;
  return NOT_RECORDED;
}

static int has_sync_faults(enum file_kind kind) { return kind >= DATABASE && kind <= OTHER; }

static int remember(int fd, enum file_kind kind) {
  if (fd < 0 || fd >= MAX_FDS) return fd;
  int saved = errno;
  fds[fd].inode = kind == NOT_RECORDED ? 0 : inode_of(fd);
  // A descriptor that is opened after an error was reported does not report it.
  if (has_sync_faults(kind)) fds[fd].failures_seen = record_header()->faults[kind - 1].failures;
  fds[fd].kind = kind;
  errno = saved;
  return fd;
}

static struct entry *begin_cut(int fd, uint64_t size) {
  if (!has_sync_faults(recorded(fd))) return NULL;
  struct entry *entry = begin_entry(TRUNCATE, fds[fd].inode, NULL, 0);
  if (entry != NULL) entry->length = size;
  return entry;
}

static void record_cut(int fd, uint64_t size) {
  end_entry(begin_cut(fd, size), 0);
}

static int open_recorded(int directory, const char *path, int flags, mode_t mode) {
  REAL(openat);
  char absolute[PATH_MAX];
  enum file_kind kind = kind_of(directory, path, absolute);
  int is_file = has_sync_faults(kind);
  if (!is_file || (flags & O_CREAT) == 0) {
    int fd = remember(real(directory, path, flags, mode), kind);
    if (is_file && fd >= 0 && (flags & O_TRUNC) != 0) record_cut(fd, 0);
    return fd;
  }
  for (;;) {
    // In two steps, so that it is known whether this call made the file.
    if ((flags & O_EXCL) == 0) {
      int fd = remember(real(directory, path, flags & ~O_CREAT), kind);
      if (fd >= 0 && (flags & O_TRUNC) != 0) record_cut(fd, 0);
      if (fd >= 0 || errno != ENOENT) return fd;
    }
    const char *name = name_in(absolute);
    struct entry *entry = begin_entry(CREATE, 0, name, strlen(name));
    int fd = real(directory, path, flags | O_EXCL, mode);
    int error = fd < 0 ? errno : 0;
    if (entry != NULL && fd >= 0) entry->inode = inode_of(fd);
    end_entry(entry, error);
    errno = error;
    if (fd >= 0 || error != EEXIST || (flags & O_EXCL) != 0) return remember(fd, kind);
  }
}

static mode_t mode_in(int flags, va_list list) {
  return (flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg(list, mode_t) : 0;
}

#define OPEN(name) \
  int name(const char *path, int flags, ...) { \
    va_list list; \
    va_start(list, flags); \
    mode_t mode = mode_in(flags, list); \
    va_end(list); \
    return open_recorded(AT_FDCWD, path, flags, mode); \
  }
#define OPENAT(name) \
  int name(int directory, const char *path, int flags, ...) { \
    va_list list; \
    va_start(list, flags); \
    mode_t mode = mode_in(flags, list); \
    va_end(list); \
    return open_recorded(directory, path, flags, mode); \
  }

OPEN(open)
OPEN(open64)

OPENAT(openat)
OPENAT(openat64)

static ssize_t ended(struct entry *entry, ssize_t result) {
  int error = result < 0 ? errno : 0;
  end_entry(entry, error);
  errno = error;
  return result;
}

static ssize_t written(struct entry *entry, ssize_t length) {
  // On a full disk, fewer bytes are written than requested.
  if (entry != NULL && length >= 0) entry->length = entry->data_length = (uint64_t)length;
  return ended(entry, length);
}

static struct entry *begin_write(int fd, const void *data, size_t length, off64_t offset) {
  enum file_kind kind = recorded(fd);
  if (kind == NOT_RECORDED || kind == DIRECTORY || length == 0) return NULL;
  struct entry *entry =
      begin_entry(kind == MARK_FILE ? MARK : WRITE, fds[fd].inode, data, length);
  if (entry != NULL) {
    entry->offset = (uint64_t)offset;
    entry->length = length;
  }
  return entry;
}

static off64_t position_of(int fd) {
  if (recorded(fd) == NOT_RECORDED) return 0;
  struct stat stat;
  int flags = fcntl(fd, F_GETFL);
  if ((flags & O_APPEND) != 0 && fstat(fd, &stat) == 0) return stat.st_size;
  return lseek64(fd, 0, SEEK_CUR);
}

ssize_t write(int fd, const void *data, size_t length) {
  REAL(write);
  struct entry *entry = begin_write(fd, data, length, position_of(fd));
  return written(entry, real(fd, data, length));
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) {
  REAL(pwrite64);
  struct entry *entry = begin_write(fd, data, length, offset);
  return written(entry, real(fd, data, length, offset));
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) {
  return pwrite64(fd, data, length, offset);
}

static ssize_t write_parts(int fd, const struct iovec *parts, int count, off64_t offset) {
  ssize_t total = 0;
  for (int at = 0; at < count; at++) {
    ssize_t written = offset < 0 ? write(fd, parts[at].iov_base, parts[at].iov_len)
                                 : pwrite64(fd, parts[at].iov_base, parts[at].iov_len, offset + total);
    if (written < 0) return total > 0 ? total : written;
    total += written;
    if ((size_t)written < parts[at].iov_len) break;
  }
  return total;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
  REAL(writev);
  return recorded(fd) ? write_parts(fd, parts, count, -1) : real(fd, parts, count);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
  REAL(pwritev);
  return recorded(fd) ? write_parts(fd, parts, count, offset) : real(fd, parts, count, offset);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) {
  return pwritev(fd, parts, count, offset);
}

int ftruncate64(int fd, off64_t size) {
  REAL(ftruncate64);
  struct entry *entry = begin_cut(fd, (uint64_t)size);
  return (int)ended(entry, real(fd, size));
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

int truncate64(const char *path, off64_t size) {
  REAL(truncate64);
  char absolute[PATH_MAX];
  struct stat stat;
  int is_file = has_sync_faults(kind_of(AT_FDCWD, path, absolute));
  struct entry *entry = NULL;
  if (is_file && lstat(path, &stat) == 0) {
    entry = begin_entry(TRUNCATE, stat.st_ino, NULL, 0);
    if (entry != NULL) entry->length = (uint64_t)size;
  }
  return (int)ended(entry, real(path, size));
}

int truncate(const char *path, off_t size) { return truncate64(path, size); }

int fallocate64(int fd, int mode, off64_t offset, off64_t length) {
  REAL(fallocate64);
  int result = real(fd, mode, offset, length);
  struct stat stat;
  // The file has grown by zeros. No recorded call punches holes.
  if (result == 0 && recorded(fd) && fstat(fd, &stat) == 0) record_cut(fd, (uint64_t)stat.st_size);
  return result;
}

int fallocate(int fd, int mode, off_t offset, off_t length) {
  return fallocate64(fd, mode, offset, length);
}

int posix_fallocate64(int fd, off64_t offset, off64_t length) {
  return fallocate64(fd, 0, offset, length) == 0 ? 0 : errno;
}

int posix_fallocate(int fd, off_t offset, off_t length) {
  return posix_fallocate64(fd, offset, length);
}

/*
 * Whether this sync has to fail, like on Linux: the dirty pages are given up and marked as clean. Each
 * descriptor that is open then reports it once, at its own next sync.
 */
static int is_to_fail(int fd, enum file_kind kind) {
  if (!has_sync_faults(kind)) return 0;
  struct sync_faults *faults = &record_header()->faults[kind - 1];
  uint64_t place = atomic_fetch_add(&faults->count, 1) + 1;
  for (int at = 0; at < MAX_FAILURES; at++) {
    if (faults->places[at] != place) continue;
    atomic_store(&faults->failed_inode, fds[fd].inode);
    fds[fd].failures_seen = atomic_fetch_add(&faults->failures, 1) + 1;
    return 1;
  }
  return 0;
}

/* Whether this descriptor has to report the failure of another sync. */
static int is_told(int fd, enum file_kind kind) {
  if (!has_sync_faults(kind)) return 0;
  struct sync_faults *faults = &record_header()->faults[kind - 1];
  uint64_t failures = atomic_load(&faults->failures);
  int told = fds[fd].failures_seen < failures && faults->failed_inode == fds[fd].inode;
  fds[fd].failures_seen = failures;
  return told;
}

static int sync_recorded(int fd, int (*real)(int)) {
  enum file_kind kind = recorded(fd);
  if (kind == NOT_RECORDED || kind == MARK_FILE) {
    return getenv("POWER_NO_SYNC") == NULL ? real(fd) : 0;
  }
  struct entry *entry =
      begin_entry(kind == DIRECTORY ? SYNC_DIRECTORY : SYNC, fds[fd].inode, NULL, 0);
  if (is_to_fail(fd, kind)) {
    errno = EIO;
    return (int)ended(entry, -1);
  }
  int result = (int)ended(entry, real(fd));
  // Asked at the end, like in the kernel: a sync that fails meanwhile may concern this one too.
  // Pages that became dirty since were written, so the record has this sync as a success.
  if (result != 0 || !is_told(fd, kind)) return result;
  errno = EIO;
  return -1;
}

int fsync(int fd) {
  REAL(fsync);
  return sync_recorded(fd, real);
}

int fdatasync(int fd) {
  REAL(fdatasync);
  return sync_recorded(fd, real);
}

static struct entry *begin_names(enum entry_kind kind, const char *from, const char *to) {
  char absolute_from[PATH_MAX], absolute_to[PATH_MAX], names[2 * NAME_MAX + 2];
  if (!has_sync_faults(kind_of(AT_FDCWD, from, absolute_from))) return NULL;
  if (to != NULL && !has_sync_faults(kind_of(AT_FDCWD, to, absolute_to))) return NULL;
  int length = to == NULL ? snprintf(names, sizeof names, "%s", name_in(absolute_from))
                          : snprintf(names, sizeof names, "%s/%s", name_in(absolute_from), name_in(absolute_to));
  return begin_entry(kind, 0, names, (uint64_t)length);
}

int unlink(const char *path) {
  REAL(unlink);
  struct entry *entry = begin_names(UNLINK, path, NULL);
  return (int)ended(entry, real(path));
}

int unlinkat(int directory, const char *path, int flags) {
  REAL(unlinkat);
  struct entry *entry = directory == AT_FDCWD && flags == 0 ? begin_names(UNLINK, path, NULL) : NULL;
  return (int)ended(entry, real(directory, path, flags));
}

int remove(const char *path) {
  REAL(remove);
  struct stat stat;
  return lstat(path, &stat) == 0 && !S_ISDIR(stat.st_mode) ? unlink(path) : real(path);
}

int rename(const char *from, const char *to) {
  REAL(rename);
  struct entry *entry = begin_names(RENAME, from, to);
  return (int)ended(entry, real(from, to));
}

int link(const char *from, const char *to) {
  REAL(link);
  struct entry *entry = begin_names(LINK, from, to);
  return (int)ended(entry, real(from, to));
}
