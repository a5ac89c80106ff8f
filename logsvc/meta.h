/* What an acceptor must remember besides the log itself, as the bytes that the storage keeps in its
 * two slots (which add version and checksum):
 *
 *   0 magic u32 "HFM1"   4 format u32   8 cluster_id[16]  24 log_id u64   32 term u64
 *  40 conf_bytes u32    44 engine u32   48 uncertain_to u64   56 node_id[64], NUL-padded
 * 120 disk_id[16]      136 conf (conf_encode)   then history (history_encode)
 *
 * Format 1 knew neither disk id nor configuration; such a log is refused. */
#ifndef LOGSVC_META_H
#define LOGSVC_META_H

#include "common/buf.h"
#include "common/err.h"
#include "logsvc/conf.h"
#include "logsvc/history.h"
#include "logsvc/wire.h"

enum { META_MAGIC = 0x314d4648, META_FORMAT = 2 };

struct meta {
    uint8_t cluster_id[16];
    uint64_t log_id;
    char node_id[WIRE_NAME_MAX + 1];
    struct term term;    /* highest term voted for or seen elected */
    struct disk_id disk; /* made with the log; never changes */
    struct conf conf;    /* the highest that the leader of a term has told */
    /* Bytes up to here may once have been acknowledged and were lost with a rotten tail. As long
     * as the log's last whole unit ends below, this node can't vouch for being complete. */
    uint64_t uncertain_to;
    uint32_t engine;        /* wire.h: the highest that a leader of this log has had */
    struct history history; /* may extend past the end of the local log */
};

void meta_encode(const struct meta *m, struct buf *out);

/* ERR_REFUSED: another format. ERR_CORRUPT: not what meta_encode writes. */
int meta_decode(const uint8_t *bytes, size_t size, struct meta *m) MUST_CHECK;

#endif
