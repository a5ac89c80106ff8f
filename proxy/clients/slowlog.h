/* Redis' SLOWLOG as its clients would see it without a proxy: what the proxy itself asks is left
 * out, and the addresses and names of its links become those of clients.
 *
 * Redis does not say whose command it was. But one that it calls slow took at least as long to be
 * sent and answered; so whose request took so long is noted, with a hash of the link's address and
 * the words as Redis logs them. On each link the noted requests are in the order of Redis' entries,
 * and they are more: those that merely waited for another one. An entry is a client's if each way
 * to pair entries with notes (in order, with the same words, time and duration) makes it that
 * one's; otherwise Redis' own words stay. What was found out is kept by the entry's number. Each
 * look at the log is at the entries since the one before the last (the note of one that another
 * link brought may come a little after it), and older notes are forgotten. */
#ifndef PROXY_CLIENTS_SLOWLOG_H
#define PROXY_CLIENTS_SLOWLOG_H

#include "common/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SLOWLOG_NOTES_MAX = 4096, /* half a second of 500 clients who wait for each other */
    SLOWLOG_KNOWN_MAX = 4096, /* entries; Redis keeps 128, unless it was told otherwise */
    SLOWLOG_OWN_MAX = 8,
    SLOWLOG_ADDRESS_BYTES = 64
};

/* Whose it was: "address\0name\0". One text, shared by whoever refers to it. */
struct slowlog_who {
    size_t refs;
    size_t len;
    char text[];
};

struct slowlog_note {
    uint64_t words; /* hash of link and words */
    uint64_t first; /* hash of link, number of words and the first one: for what Redis redacts */
    uint64_t began_s, ended_s;
    uint64_t took_us;
    struct slowlog_who *who; /* NULL: not known */
    bool paired;             /* it is known which entry is its */
};

struct slowlog_known {
    uint64_t id, time_s;
    struct slowlog_who *who; /* NULL: nothing is known */
};

struct slowlog {
    /* Requests that take as long are to be noted; UINT64_MAX: none. */
    uint64_t slower_ns;
    struct slowlog_note *notes;  /* ring of SLOWLOG_NOTES_MAX */
    uint64_t noted, forgotten;   /* ever; those in between are there */
    uint64_t lacks_until_s;      /* not all that Redis logged until then was noted */
    struct slowlog_known *known; /* SLOWLOG_KNOWN_MAX of them, by id modulo that */
    /* The last two looks: the first id that they did not see; when the last one was sent. */
    uint64_t seen_next, seen_before, mark;
    char own[SLOWLOG_OWN_MAX][SLOWLOG_ADDRESS_BYTES]; /* of connections that are not clients' */
    unsigned own_next;
};

void slowlog_init(struct slowlog *s);
void slowlog_fini(struct slowlog *s);
/* It is the log of a Redis that was started anew. */
void slowlog_forget(struct slowlog *s);

/* Redis' slowlog-log-slower-than; below 0: nothing is logged. Or it may be that now. */
bool slowlog_is_lower(const struct slowlog *s, long long slower_us);
void slowlog_set_threshold(struct slowlog *s, long long slower_us, uint64_t now_s);
void slowlog_maybe_threshold(struct slowlog *s, long long slower_us);

/* What comes from this address, which is one of ours, is not shown; but what is known to be a
 * client's, whose link may have come to have that address later. */
void slowlog_add_own(struct slowlog *s, const char *address);

struct slowlog_who *slowlog_who_create(const char *address, const char *name);
/* who may be NULL. */
struct slowlog_who *slowlog_who_share(struct slowlog_who *who);
void slowlog_who_release(struct slowlog_who *who);
const char *slowlog_who_address(const struct slowlog_who *who);
const char *slowlog_who_name(const struct slowlog_who *who);

/* A request that took long: commands in RESP, or how they begin (of EXEC, the whole transaction).
 * who is not taken over; NULL: not known. Times are the wall clock's. */
struct slowlog_request {
    const char *link; /* its address, as Redis sees it */
    const uint8_t *bytes;
    size_t size;
    bool block; /* there may be more than one command */
    struct slowlog_who *who;
    uint64_t began_s, ended_s, took_us;
};
void slowlog_note(struct slowlog *s, const struct slowlog_request *r);

/* The number of the next note: what is noted so far is older. */
uint64_t slowlog_mark(const struct slowlog *s);
/* Something was noted since the last look. */
bool slowlog_wants_look(const struct slowlog *s);
/* That of the last look, for one of which it is not known when it was sent. */
uint64_t slowlog_last_mark(const struct slowlog *s);
/* The log was emptied: by what was sent when that was the mark. */
void slowlog_was_reset(struct slowlog *s, uint64_t mark);

/* Redis' whole reply to SLOWLOG GET, which was sent when that was the mark, is looked at. What is
 * no such reply is passed over. */
void slowlog_learn(struct slowlog *s, const struct buf *reply, uint64_t mark);

/* The same of SLOWLOG GET -1; and it becomes the reply to SLOWLOG GET most (held: as many as Redis
 * is to keep), or to LEN. What is no such reply (an error) stays as it is. */
void slowlog_correct(struct slowlog *s, struct buf *reply, uint64_t mark, size_t held, size_t most,
                     bool len_only);

#endif
