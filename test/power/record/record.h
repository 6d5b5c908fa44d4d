/*
 * The calls of several processes on the files of one directory, in one order. All processes map this
 * file.
 *
 * header | entries of a fixed size | data of the entries
 *
 * A call has an entry that is made before the call, with its begin, and completed after it, with
 * its end. A process that is killed within the call leaves an entry without an end.
 */
#include <stdatomic.h>
#include <stdint.h>

#define HEADER_BYTES 4096
#define ENTRY_BYTES 96
#define MAX_ENTRIES (1u << 19)
#define MAX_FAILURES 8

enum entry_kind {
  WRITE = 1,
  TRUNCATE = 2,
  SYNC = 3,
  SYNC_DIRECTORY = 4,
  CREATE = 5,
  UNLINK = 6,
  RENAME = 7,
  LINK = 8,
  MARK = 9
};

/* The mark is the file to which processes write marks, in the same order. */
enum file_kind { NOT_RECORDED = 0, DATABASE = 1, WAL = 2, OTHER = 3, DIRECTORY = 4, MARK_FILE = 5 };
#define SYNCED_KINDS 3

/* The syncs of one kind of file. */
struct sync_faults {
  /* Syncs so far. */
  _Atomic uint64_t count;
  /* Of the last failed sync: the inode, and the number of failures so far. */
  _Atomic uint64_t failed_inode;
  _Atomic uint64_t failures;
  /* Set beforehand: the positions of the syncs that have to fail, from 1. 0 is none. */
  uint64_t places[MAX_FAILURES];
};

struct header {
  _Atomic uint64_t clock;
  _Atomic uint64_t entries;
  _Atomic uint64_t data_bytes;
  /* Not 0 if the record is full, and so useless. */
  _Atomic uint64_t overflow;
  /* The size of the whole file. Set beforehand. */
  uint64_t size;
  struct sync_faults faults[SYNCED_KINDS];
};

struct entry {
  /* Set last: an entry without it was never completed, and its call was not made. */
  _Atomic uint32_t ready;
  uint32_t kind;
  uint64_t begin;
  /* 0: the call has not ended. */
  _Atomic uint64_t end;
  uint64_t inode;
  uint64_t offset;
  /* The number of bytes written, or the new size of a truncated file. */
  uint64_t length;
  uint64_t data;
  uint64_t data_length;
  uint32_t pid;
  /* 0, or the error number. */
  int32_t error;
};

_Static_assert(sizeof(struct header) <= HEADER_BYTES, "the header outgrew its place");
_Static_assert(sizeof(struct entry) <= ENTRY_BYTES, "the entry outgrew its place");

/* Begins the entry of a call. Null when the call is not recorded. */
struct entry *begin_entry(enum entry_kind kind, uint64_t inode, const void *data, uint64_t length);
/* `error` is 0 or an error number. */
void end_entry(struct entry *entry, int error);

/* Null when this process is not recorded. */
struct header *record_header(void);
