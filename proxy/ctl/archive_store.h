/* The store of an export that is no folder but s3://BUCKET/PREFIX. Its files are made in, and
 * fetched into, a private folder (in TMPDIR, else /var/tmp) that is gone at the end; never more
 * than the snapshot and one file of the log at once. What a process that was killed has left there
 * goes when the next one begins. A large file is several objects: NAME, NAME.1,
 * NAME.2 …, one behind the other. */
#ifndef PROXY_CTL_ARCHIVE_STORE_H
#define PROXY_CTL_ARCHIVE_STORE_H

#include "common/err.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

struct archive_store;

/* object_bytes: the largest object; 0: 256 MiB. folder: the private one. NULL: complained. */
struct archive_store *archive_store_open(const char *url, const char *endpoint,
                                         uint64_t object_bytes, char folder[PATH_MAX + 1]);
void archive_store_close(struct archive_store *t); /* NULL is allowed */

/* FOLDER/NAME goes into the store, and is removed. look: objects of it that an attempt that was
 * broken off has sent are not sent again. ERR_IO: complained. */
int archive_store_put(struct archive_store *t, const char *name, bool look) MUST_CHECK;
/* It comes from there to FOLDER/NAME: size_bytes in as many objects as it takes; or one object, of
 * that much at most. ERR_NOT_FOUND; ERR_IO: complained, also if there is more. */
int archive_store_get(struct archive_store *t, const char *name, uint64_t size_bytes,
                      bool one) MUST_CHECK;

#endif
