/* A small durable state in two slots (docs/log-format.md, 3): what was saved last is there after
 * any crash, and one slot can rot without harm. Each slot is a file of its own:
 *
 *   0 magic u32   4 crc u32 (of bytes 8 … 24+len)   8 version u64   16 len u32   20 zero u32
 *  24 body[len], zeros up to a multiple of 4 KiB
 *
 * Saving writes slot A, syncs it, writes slot B, syncs it, and only then is the state promised to
 * anyone. So if A is bad and B holds version n, version n+1 had not been promised; and if both are
 * good, the higher one counts. */
#ifndef LOGSVC_SLOTS_H
#define LOGSVC_SLOTS_H

#include "common/buf.h"
#include "logsvc/disk.h"

enum { SLOTS_MAGIC = 0x314d4648 }; /* "HFM1" */
enum { SLOTS_HEADER_BYTES = 24 };
enum { SLOTS_BODY_MAX_BYTES = 1024 * 1024 };

struct slots {
    struct disk_file *files[2];
    uint64_t version; /* of what was saved last; 0: nothing yet */
    struct buf body;
};

/* Makes both files, with version 0 and no body, durably but for the folder's sync. */
int slots_create(struct disk *d, const char *folder) MUST_CHECK;

/* Whether something was ever saved there, as far as can be read; for a folder that looks
 * unfinished.
 */
int slots_were_used(struct disk *d, const char *folder, bool *used) MUST_CHECK;

/* Opens the slots and makes them equal again if they are not. ERR_CORRUPT: both are bad;
 * ERR_NOT_FOUND: both are gone. */
int slots_open(struct slots *s, struct disk *d, const char *folder) MUST_CHECK;
void slots_close(struct slots *s);

/* Replaces the state. ERR_TOO_BIG: refused, nothing changed; any other error is final. */
int slots_save(struct slots *s, const void *bytes, size_t size) MUST_CHECK;

/* Looks whether both files hold what was saved last, and writes it again where they do not: nobody
 * knows it better than this process. *mended counts those. Errors are final. */
int slots_check(struct slots *s, struct disk *d, const char *folder, unsigned *mended) MUST_CHECK;

#endif
