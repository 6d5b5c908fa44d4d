#define _GNU_SOURCE
#include "record.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct header *header;

struct header *record_header(void) { return header; }

__attribute__((constructor)) static void open_record(void) {
  const char *path = getenv("POWER_RECORD");
  if (path == NULL) return;
  int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
  struct stat stat;
  if (fd < 0 || fstat(fd, &stat) != 0) abort();
  void *mapped = mmap(NULL, (size_t)stat.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (mapped == MAP_FAILED) abort();
  syscall(SYS_close, fd);
  header = mapped;
}

static uint64_t tick(void) { return atomic_fetch_add(&header->clock, 1) + 1; }

struct entry *begin_entry(enum entry_kind kind, uint64_t inode, const void *data, uint64_t length) {
  if (header == NULL) return NULL;
  char *base = (char *)header;
  uint64_t data_start = HEADER_BYTES + (uint64_t)MAX_ENTRIES * ENTRY_BYTES;
  uint64_t place = atomic_fetch_add(&header->data_bytes, (length + 7) & ~7ull);
  uint64_t number = atomic_fetch_add(&header->entries, 1);
  if (number >= MAX_ENTRIES || data_start + place + length > header->size) {
    atomic_store(&header->overflow, 1);
    return NULL;
  }
  if (length > 0) memcpy(base + data_start + place, data, length);
  struct entry *entry = (struct entry *)(base + HEADER_BYTES + number * ENTRY_BYTES);
  entry->kind = kind;
  entry->inode = inode;
  entry->data = data_start + place;
  entry->data_length = length;
  entry->pid = (uint32_t)getpid();
  entry->begin = tick();
  atomic_store(&entry->ready, 1);
  return entry;
}

void end_entry(struct entry *entry, int error) {
  if (entry == NULL) return;
  entry->error = error;
  atomic_store(&entry->end, tick());
}
