/* The manifest of an exported log: what is in the folder, and what it must be. One JSON object, of
 * which the last line is a checksum of all lines before; read back to the byte, so nothing in it
 * can have changed unnoticed. docs/OPERATIONS.md says what the folder holds. */
#ifndef PROXY_CTL_MANIFEST_H
#define PROXY_CTL_MANIFEST_H

#include "common/buf.h"
#include "logsvc/history.h"
#include "logsvc/snapinfo.h"

enum { MANIFEST_FORMAT = 2, MANIFEST_FILES_MAX = 100000, MANIFEST_NAME_BYTES = 48 };

/* A file of encoded records (logsvc/record.h), one behind the other, as the log nodes have them. */
struct manifest_file {
    uint64_t from, to; /* offsets of the log; both are ends of units */
    uint64_t bytes;
    uint32_t crc;               /* CRC-32C of the file */
    uint32_t chain_crc;         /* the log's chain at `to` */
    uint64_t first_ms, last_ms; /* wall times of its first and its last record */
};

struct manifest {
    uint8_t cluster_id[16];
    uint64_t log_id;
    uint64_t begun_ms;             /* wall time of its first run */
    uint64_t ended_ms;             /* all that was committed by then is in it */
    struct snapshot_info snapshot; /* what comes first */
    struct history history;
    size_t count, cap;
    struct manifest_file *files; /* the log behind the snapshot, without a gap */
};

/* {0} is one to begin with. */
void manifest_fini(struct manifest *m);
void manifest_add(struct manifest *m, const struct manifest_file *file);

/* Where it ends, and the log's chain there. */
uint64_t manifest_end(const struct manifest *m);
uint32_t manifest_chain(const struct manifest *m);

/* The names of its files: with their checksums, so that of two runs into the same place neither
 * replaces what the other's manifest names. */
void manifest_snapshot_name(const struct snapshot_info *info, char out[MANIFEST_NAME_BYTES]);
void manifest_file_name(const struct manifest_file *file, char out[MANIFEST_NAME_BYTES]);
/* Whether a file of such a name is a snapshot, or log, of some manifest; and of this one. */
bool manifest_is_file_name(const char *name);
bool manifest_names(const struct manifest *m, const char *name);

void manifest_print(const struct manifest *m, struct buf *out);
/* ERR_CORRUPT: it is not what manifest_print makes, or contradicts itself; *why says what. m is
 * empty then. */
int manifest_parse(const char *text, size_t size, struct manifest *m, const char **why) MUST_CHECK;

#endif
