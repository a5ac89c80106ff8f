/* The log nodes, for a program that is no proxy: links to them, what they say of the log (STATUS;
 * such a program does not stand among the proxies), and a reader, a snapshot ship and a catalogue
 * that one user at a time works with.
 *
 * It begins with the addresses that it is given and goes on with the log's configuration: whoever
 * is a member is linked, and only members count. */
#ifndef PROXY_SNAPSHOT_LOGNODES_H
#define PROXY_SNAPSHOT_LOGNODES_H

#include "logsvc/client/catalogue.h"
#include "logsvc/client/reader.h"
#include "logsvc/client/snapship.h"

struct event_base;
struct lognodes;

struct lognodes_config {
    uint8_t cluster_id[16];
    uint64_t log_id;
    const char *const *addresses; /* "host:port"; copied */
    unsigned address_count;       /* 1 … 7 */
    size_t piece_max_bytes;       /* of one read; at least log.append_max_bytes of the proxies */
    uint32_t interval_ms;         /* between questions how things stand; 0: 100 */
};

/* Called from the event loop. All may be NULL. */
struct lognodes_events {
    /* Something of lognodes_view has changed. */
    void (*news)(void *ctx);
    /* As in reader_events … */
    void (*record)(void *ctx, const struct record *rec);
    void (*data)(void *ctx, uint64_t offset, const uint8_t *bytes, size_t size);
    void (*done)(void *ctx);
    void (*failed)(void *ctx, int err);
    /* … in snapship_events … */
    bool (*read)(void *ctx, uint64_t at, size_t size, struct buf *out);
    void (*shipped)(void *ctx, int err);
    void (*found)(void *ctx, const struct snapshot_info *info);
    void (*snapshot_data)(void *ctx, const uint8_t *bytes, size_t size);
    void (*fetched)(void *ctx, int err);
    void (*repaired)(void *ctx, int err);
    /* … and in catalogue_events. */
    void (*listed)(void *ctx, int err);
    void (*marked)(void *ctx, int err);
};

/* NULL: complained in the program's log; *err: ERR_INVALID (an address), ERR_IO. It starts threads:
 * what is to be forked after that is forked with nothing between fork and exec. */
struct lognodes *lognodes_open(struct event_base *base, const struct lognodes_config *config,
                               int *err);
void lognodes_close(struct lognodes *n);

/* Whose the events are from now on; what the former user had under way is stopped. The events are
 * kept by reference. NULL: nobody's. */
void lognodes_use(struct lognodes *n, const struct lognodes_events *events, void *ctx);

struct reader *lognodes_reader(struct lognodes *n);
struct snapship *lognodes_snapship(struct lognodes *n);
struct catalogue *lognodes_catalogue(struct lognodes *n);

struct lognodes_view {
    bool known;             /* more than half of the members have answered, lately */
    unsigned nodes;         /* members (before they are known: addresses) */
    unsigned answered;      /* … of them that have answered lately */
    bool empty;             /* no node that answers has a log */
    uint64_t commit;        /* the highest that any node knows of; never falls */
    uint64_t begin;         /* the lowest offset from which a node has the log */
    struct term term;       /* the highest promised anywhere: uploads are made under it */
    uint64_t snapshot;      /* the newest that any node has; WIRE_NO_SNAPSHOT: none */
    const char *leader;     /* its clients' address, as a node names it; may be "" */
    const char *refusal;    /* why a node refuses us, if one does; "": none does */
    struct history history; /* as the node knows it that knows of the highest commit: what of it
                               begins below the commit is the log's */
};
void lognodes_view(const struct lognodes *n, struct lognodes_view *out);

/* For messages of the user's own: to a node by its slot. A user that has further machines hands
 * their messages out by lognodes_send and is told of answers on channels that nobody here uses. */
bool lognodes_send(void *n, unsigned node, const struct wire_msg *msg);
/* Whether it has answered lately. */
bool lognodes_answers(const struct lognodes *n, unsigned node);
/* The members' slots, as a set. */
uint32_t lognodes_members(const struct lognodes *n);

#endif
