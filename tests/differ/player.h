/* One client of a program, on both stages: its connections, and which step each of its replies
 * belongs to. */
#ifndef TESTS_DIFFER_PLAYER_H
#define TESTS_DIFFER_PLAYER_H

#include "tests/differ/rules.h"
#include "tests/differ/stage.h"

enum player_topics { PLAYER_CHANNELS, PLAYER_PATTERNS, PLAYER_SHARDS, PLAYER_TOPICS };

/* Steps, by index; first in, first out. */
struct player_queue {
    size_t *steps;
    size_t head, count, cap;
};

struct player {
    bool open;
    struct wire wires[STAGE_SIDES];
    long long ids[STAGE_SIDES];
    struct buf early;         /* messages that Holdfast sent before replies that Redis has first */
    struct player_queue owed; /* what was sent and has not been answered */
    struct player_queue queued; /* in MULTI */
    long long subscribed[PLAYER_TOPICS];
    long long acks;        /* still to come for the first one owed; -1: not counted yet */
    bool sends_multi;      /* as far as sent */
    bool sends_subscribe;  /* in this pipeline */
    bool queues_subscribe; /* in MULTI, as far as sent */
    bool reply_off, reply_skip;
    bool said_raw;        /* what is no RESP: whatever comes next may end the connection */
    bool told;            /* others' tracking is redirected to it: in no order among its replies */
    int tells;            /* whom its own was redirected to last; or -1 */
    bool redirects;       /* it is now */
    bool tracks, tracked; /* has said TRACKING ON; and then OFF */
    bool tracks_all;      /* whatever it reads, now */
    bool broadcasts;      /* by prefixes, whatever it reads */
    bool may_broadcast;   /* as far as sent */
    struct buf read;      /* words of what it has read meanwhile, each behind its length */
    uint64_t acknowledged[STAGE_SIDES]; /* a sum of names (compare.c) */
    bool pushes;                        /* may be told in RESP3's form */
    bool hears_keys;                    /* of what is written, now */
};

/* resp: 2 or 3. */
void player_open(struct player *pl, const struct stage *stage, int resp, bool asynchronous);
void player_close(struct player *pl);

/* Notes that the step is sent. False: it must not be. */
bool player_sends(struct player *pl, const struct stage *stage, const struct program *p,
                  size_t index);

/* Which step the plain Redis' frame belongs to (SIZE_MAX: none), and how it is compared; the caller
 * frees how's elements. */
size_t player_takes(struct player *pl, const struct stage *stage, const struct program *p,
                    const char *frame, size_t len, struct frames_how *how);

/* Whether it has read that key since its tracking began, for all that is known. */
bool player_has_read(const struct player *pl, const char *key, size_t len);

/* As far as sent. */
bool player_is_subscribed(const struct player *pl);

/* SUBSCRIBE and its kind, and their ends; and what is answered to them. */
bool player_is_subscription(const struct step *s);
bool player_is_acknowledgement(const char *frame, size_t len);

#endif
