/* A log node at work: requests from the transport, each to the acceptor of its log; one flush for
 * each log that was touched; answers. One thread.
 *
 *   transport ─▶ wire ─▶ acceptor ─▶ store          acceptor ─▶ wire ─▶ transport
 *
 * One folder of the data folder for each log, "log-<id>", made when a proposer of the right cluster
 * greets a log that is not there yet. A log that is found damaged is not served; the others are. */
#ifndef LOGSVC_SERVER_H
#define LOGSVC_SERVER_H

#include "common/err.h"
#include "logsvc/disk.h"
#include "logsvc/scrub.h"

#include <stddef.h>
#include <stdint.h>

struct server_config {
    struct disk *disk;
    const char *data_dir; /* made if it is not there */
    const char *address;  /* "host:port"; port 0: any */
    const char *node_id;  /* 1 … 63 characters */
    uint8_t cluster_id[16];
    uint32_t lease_ms;
    uint64_t segment_bytes; /* a multiple of 64 KiB, at least 4 messages */
    uint64_t reserve_bytes;
    size_t message_max_bytes;  /* at least SERVER_MESSAGE_MIN_BYTES */
    size_t queue_max_bytes;    /* at least message_max_bytes */
    unsigned logs_max;         /* new logs are refused beyond it */
    struct scrub_config scrub; /* of each log */
    uint64_t pack_bytes_per_s; /* of each log; 0: segments stay as they were written */
};

enum { SERVER_MESSAGE_MIN_BYTES = 256 * 1024 };

struct server;

/* Opens the data folder with all its logs, and listens. ERR_REFUSED: the data folder belongs to
 * another node or cluster. ERR_EXISTS: another process uses it, or the port. What is wrong is
 * logged by name. The configuration's texts must outlive the server. */
int server_open(const struct server_config *config, struct server **out) MUST_CHECK;
/* NULL is allowed. */
void server_close(struct server *s);

uint16_t server_port(const struct server *s);

/* Waits up to timeout_ms for requests and serves all that are there; then what is due. An error
 * means that a disk failed: nothing more may be served, the process ends at once. */
int server_turn(struct server *s, int timeout_ms) MUST_CHECK;
/* Makes the present or the next server_turn return; for any thread. */
void server_wake(struct server *s);

#endif
