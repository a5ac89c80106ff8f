/* Clients: each asks the proxy that it believes to lead, one request at a time, on few keys; what
 * it writes is unique. Without an answer it does not know whether a write was done, and goes on
 * elsewhere. Keys are changed for new ones after a while, so that the histories stay short enough
 * to be searched; at the end every key is read once more. */
#ifndef TESTS_SIM_CLIENTS_H
#define TESTS_SIM_CLIENTS_H

#include "tests/sim/kv.h"
#include "tests/sim/linear.h"
#include "tests/sim/sim.h"

enum { CLIENTS_MAX = 8, CLIENTS_WINDOW_MAX = 4, CLIENTS_SENT = 16 };

enum answer {
    ANSWER_OK,
    ANSWER_REFUSED, /* it was not done */
    ANSWER_CLOSED,  /* who knows */
};

struct client {
    bool waiting;
    uint64_t loose;  /* number of the last request whose answer did not wait for its commit */
    bool async;      /* HOLDFAST SYNC OFF: its answers wait for no commit */
    bool final;      /* it is one of the reads at the end */
    uint64_t number; /* of its last request */
    unsigned target;
    struct kv_op op;
    uint64_t called_at;
    struct kv_op sent[CLIENTS_SENT]; /* the latest ones, by number: some arrive late */
};

/* A write that was answered without waiting for its commit. */
struct clients_loose {
    struct client client; /* as it was then */
    uint64_t answer;
    uint64_t term, bound; /* it counts when that term's leader has committed up to there */
    uint64_t admitted_at;
};

struct clients {
    struct client list[CLIENTS_MAX];
    unsigned count;
    bool stopped; /* no more requests of their own */
    bool finals;  /* client 0 reads all keys */
    unsigned final_key;
    bool done;
    uint64_t tokens;      /* the last one given out */
    uint64_t answered_at; /* when a write was answered last */

    unsigned window[CLIENTS_WINDOW_MAX]; /* keys in use */
    unsigned window_count;
    unsigned next_key;
    unsigned ops_of[KV_KEYS_MAX];
    struct linear_history histories[KV_KEYS_MAX];

    struct clients_loose *loose;
    size_t loose_count, loose_cap;
};

void clients_init(struct world *w);
void clients_fini(struct clients *c);
/* A client's timer: it asks something, or gives up waiting for request number arg. */
void clients_timer(struct world *w, unsigned client, uint64_t arg);
/* What it asked in request number; false: that is too long ago. */
bool clients_sent(const struct clients *c, unsigned client, uint64_t number, struct kv_op *op);
void clients_answer(struct world *w, unsigned client, const struct event *e);
/* An asynchronous client's write is answered; what it said counts only once it is committed. */
void clients_loosely(struct world *w, unsigned client, uint64_t number, uint64_t answer,
                     uint64_t term, uint64_t bound, uint64_t admitted_at);
/* The leader of term has committed up to offset. */
void clients_committed(struct world *w, uint64_t term, uint64_t offset);
/* From now on only one reads every key that was ever used; clients.done says when it has. */
void clients_read_all(struct world *w);
/* I10: every key's history. */
void clients_check(struct world *w);

#endif
