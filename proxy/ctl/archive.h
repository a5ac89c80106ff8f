/* The folder of an exported log, or what stands for it in an object store: a snapshot, the log
 * behind it in files of records, and a manifest that tells what they must be. Written so that after
 * a kill at any point the manifest names only what is whole and durable: a file is written under
 * a name that ends in .part, synced, renamed, and then the manifest is replaced in the same way.
 * One export at a time writes into a folder. */
#ifndef PROXY_CTL_ARCHIVE_H
#define PROXY_CTL_ARCHIVE_H

#include "logsvc/record.h"
#include "proxy/ctl/ctl_bar.h"
#include "proxy/ctl/manifest.h"

#include <limits.h>

enum { ARCHIVE_PATH_BYTES = PATH_MAX + MANIFEST_NAME_BYTES + 8 };

struct archive {
    const char *name; /* as it was given; the caller's */
    char folder[PATH_MAX + 1];
    struct manifest manifest;
    bool fresh;                  /* there is no manifest yet */
    struct archive_store *store; /* `folder` is but its stop-over; NULL: it is all */
    int lock;                    /* of the folder, while we write into it; -1: none */
};

/* Everything complains on standard error; false: it has. */

struct ctl;

/* Reads the manifest. make: it is to be written into: a folder that is not there is made, an empty
 * one is `fresh`, and one that another process writes into is refused. */
bool archive_open(struct archive *a, const struct ctl *ctl, const char *folder,
                  bool make) MUST_CHECK;
void archive_close(struct archive *a);

/* "FOLDER/NAME" or "FOLDER/NAME.part". */
void archive_path(const struct archive *a, const char *name, bool part,
                  char out[ARCHIVE_PATH_BYTES]);

/* Makes PART.part durable under the name NAME. */
bool archive_publish(struct archive *a, const char *part, const char *name, int fd) MUST_CHECK;
bool archive_save(struct archive *a) MUST_CHECK;
/* Removes from the folder what runs that were broken off have left: files of an export that the
 * manifest does not name. (Not from a store.) */
void archive_tidy(const struct archive *a);

/* A file of the archive, to be read; size_bytes: as it must be; keep: it will be read again. -1:
 * complained. */
int archive_open_file(struct archive *a, const char *name, uint64_t size_bytes, bool keep);

/* The CRC-32C of a file from its beginning. */
bool archive_file_crc(int fd, const char *path, uint64_t *size_bytes, uint32_t *crc) MUST_CHECK;

struct archive_walk {
    /* Each record of the log in turn, checked; false: enough. */
    bool (*record)(void *ctx, const struct record *r, const uint8_t *payload);
    void *ctx;
    const char *what; /* for the bar */
    struct ctl_bar bar;
    bool stopped; /* set: `record` had enough */
};

/* Reads all of the log and checks each byte against the manifest, each record against its own
 * checksums, and the chain. */
bool archive_walk(struct archive *a, struct archive_walk *walk) MUST_CHECK;
/* The snapshot, against its checksum. */
bool archive_check_snapshot(struct archive *a, struct ctl_bar *bar) MUST_CHECK;

#endif
