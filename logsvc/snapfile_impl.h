/* What snapfile.c (the list, marks, reading) and snapfile_receive.c share. Nobody else includes it.
 * Errors are those of snapfile.h. */
#ifndef LOGSVC_SNAPFILE_IMPL_H
#define LOGSVC_SNAPFILE_IMPL_H

#include "logsvc/snapfile.h"

/* Of 64 TiB. */
enum { SNAPFILE_META_MAX_BYTES = 1024 * 1024 * 1024 };

#define SNAPFILE_INCOMING_NAME "snap-incoming.tmp"
#define SNAPFILE_META_NAME     "snap-meta.tmp"

/* How many chunks an RDB of that size has. */
uint64_t snapfile_chunks(uint64_t size_bytes);
/* The path of a snapshot's file; end: "rdb" or "meta". */
int snapfile_path(const struct snapfile *s, uint64_t offset, const char *end,
                  char out[DISK_PATH_BYTES]) MUST_CHECK;
/* Removes a file; one that is not there is as good. */
int snapfile_remove(struct snapfile *s, const char *path) MUST_CHECK;
/* Gives a file the name of a snapshot's, durably. */
int snapfile_rename(struct snapfile *s, const char *from, uint64_t offset,
                    const char *end) MUST_CHECK;
/* Writes and syncs what will be a .meta file; path is its own for now. */
int snapfile_prepare_meta(struct snapfile *s, const struct snapshot_info *info,
                          const struct buf *sums, char path[DISK_PATH_BYTES]) MUST_CHECK;

/* The published one at that offset, or NULL. */
struct snapfile_entry *snapfile_find(const struct snapfile *s, uint64_t offset);
/* Puts a published snapshot into the list, in place of one at the same offset. */
void snapfile_add(struct snapfile *s, const struct snapshot_info *info, const uint8_t *sums,
                  size_t sums_bytes);

#endif
