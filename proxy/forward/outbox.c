#include "proxy/forward/outbox.h"

#include "common/mem.h"

#include <stdio.h>
#include <string.h>

static const char outbox_moved_word[] = "-HOLDFASTMOVED ";

void outbox_init(struct outbox *o, struct request_pool *pool)
{
    *o = (struct outbox){.pool = pool, .resp = 2};
}

void outbox_fini(struct outbox *o)
{
    MUST(o->first == NULL);
    buf_release(&o->bytes);
}

/* ---- in ---- */

static void outbox_push(struct outbox *o, struct request *r)
{
    r->stage = REQUEST_SENT;
    r->next_in_batch = NULL;
    if (o->last != NULL) {
        o->last->next_in_batch = r;
    } else {
        o->first = r;
    }
    o->last = r;
    o->count++;
}

/* What the connection must be told so that the request runs as its client means it. Without a
 * connection that is for outbox_begin to do. */
static void outbox_put_state(struct outbox *o, struct request *r)
{
    char text[32];

    r->replies_of_link = 0;
    r->replies_to_skip = r->block_skips;
    if (!o->linked) {
        return;
    }
    if (o->resp != (int)r->resp) {
        buf_append_str(&o->bytes, r->resp == 3 ? "*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n"
                                               : "*2\r\n$5\r\nHELLO\r\n$1\r\n2\r\n");
        o->resp = (int)r->resp;
        r->replies_of_link++;
    }
    bool async = (r->flags & REQUEST_ASYNC) != 0 && o->nonce[0] != '\0'; /* a proxy is there */
    if (o->async != async) {
        buf_append_str(&o->bytes, async ? OUTBOX_SYNC_OFF : OUTBOX_SYNC_ON);
        o->async = async;
        r->replies_of_link++;
    }
    if (o->db != (int)r->db) {
        int len = snprintf(text, sizeof text, "%u", r->db);
        resp_put_array(&o->bytes, 2);
        resp_put_bulk(&o->bytes, "SELECT", 6);
        resp_put_bulk(&o->bytes, text, (size_t)len);
        r->replies_of_link++;
    }
    o->db = (r->flags & REQUEST_SELECTS) != 0 ? -1 : (int)r->db;
}

static void outbox_enter(struct outbox *o, struct request *r, unsigned db, unsigned resp,
                         uint32_t skips)
{
    r->db = db;
    r->resp = resp;
    r->block_skips = skips;
    outbox_push(o, r);
    outbox_put_state(o, r);
    r->command_at = o->begin + o->bytes.len;
}

static void outbox_entered(struct outbox *o, struct request *r)
{
    r->command_len = (size_t)(o->begin + o->bytes.len - r->command_at);
}

void outbox_add(struct outbox *o, struct request *r, unsigned db, unsigned resp,
                const struct resp_arg *argv, size_t argc)
{
    outbox_enter(o, r, db, resp, 0);
    resp_put_request(&o->bytes, argv, argc);
    outbox_entered(o, r);
}

void outbox_add_bytes(struct outbox *o, struct request *r, unsigned db, unsigned resp,
                      const void *bytes, size_t size, uint32_t skips)
{
    outbox_enter(o, r, db, resp, skips);
    buf_append(&o->bytes, bytes, size);
    outbox_entered(o, r);
}

void outbox_begin(struct outbox *o, const char *nonce)
{
    struct buf old = BUF_INIT;
    struct request *r = o->first;
    uint64_t old_begin = o->begin;

    buf_swap(&old, &o->bytes);
    o->first = o->last = NULL;
    o->count = 0;
    o->begin += old.len;
    o->written = o->begin;
    o->linked = true;
    o->db = 0;
    o->resp = 2;
    o->async = false;
    o->framer = (struct resp_reply_framer){0};
    o->head_len = 0;
    (void)snprintf(o->nonce, sizeof o->nonce, "%s", nonce);
    while (r != NULL) {
        struct request *next = r->next_in_batch;
        const uint8_t *command = buf_head(&old) + (r->command_at - old_begin);
        if (r->client == NULL) {
            request_give(o->pool, r);
        } else {
            outbox_add_bytes(o, r, r->db, r->resp, command, r->command_len, r->block_skips);
        }
        r = next;
    }
    buf_release(&old);
}

/* ---- out ---- */

const uint8_t *outbox_unsent(const struct outbox *o, size_t *size)
{
    size_t sent = (size_t)(o->written - o->begin);

    *size = o->linked ? o->bytes.len - sent : 0;
    return buf_head(&o->bytes) + sent;
}

void outbox_wrote(struct outbox *o, size_t size)
{
    o->written += size;
    MUST(o->written - o->begin <= o->bytes.len);
}

/* An unfinished command can't have been executed; of a block, EXEC is the end. */
static bool outbox_was_sent(const struct outbox *o, const struct request *r)
{
    return o->linked && r->command_at + r->command_len <= o->written;
}

bool outbox_awaits(const struct outbox *o)
{
    return o->first != NULL && outbox_was_sent(o, o->first);
}

/* Without requests, no bytes are needed. */
static void outbox_drop_bytes(struct outbox *o)
{
    o->begin += o->bytes.len;
    o->written = o->begin;
    buf_release(&o->bytes);
}

/* Takes the first request out of the list, and it and what stands before it out of the bytes. */
static struct request *outbox_pop(struct outbox *o)
{
    struct request *r = o->first;
    size_t used = (size_t)(r->command_at + r->command_len - o->begin);

    o->first = r->next_in_batch;
    if (o->first == NULL) {
        o->last = NULL;
    }
    r->next_in_batch = NULL;
    o->count--;
    buf_consume(&o->bytes, used);
    buf_trim(&o->bytes, 1 << 20);
    o->begin += used;
    if (o->written < o->begin) {
        o->written = o->begin;
    }
    return r;
}

/* ---- replies ---- */

static void outbox_note_error(struct outbox *o, const uint8_t *bytes, size_t size)
{
    size_t room = sizeof o->head - 1 - o->head_len;
    size_t take = size < room ? size : room;

    memcpy(o->head + o->head_len, bytes, take);
    o->head_len += take;
    o->head[o->head_len] = '\0';
}

bool outbox_error_is_moved(const char *head, const char *nonce)
{
    size_t word = sizeof outbox_moved_word - 1;

    return nonce[0] != '\0' && strncmp(head, outbox_moved_word, word) == 0 &&
           strncmp(head + word, nonce, OUTBOX_NONCE_LEN) == 0 &&
           head[word + OUTBOX_NONCE_LEN] == ' ';
}

/* One piece of a reply, whose end it is if done. */
static enum outbox_says outbox_piece(struct outbox *o, const uint8_t *bytes, size_t size, bool done,
                                     struct request **answered)
{
    struct request *r = o->first;
    bool error = o->framer.first == '-';

    *answered = NULL;
    if (r == NULL || o->framer.first == '>' || o->begin >= o->written) {
        return OUTBOX_BROKEN;
    }
    if (error) {
        outbox_note_error(o, bytes, size);
        if (done && outbox_error_is_moved(o->head, o->nonce)) {
            return OUTBOX_MOVED;
        }
    }
    if (done) {
        o->head_len = 0;
    }
    if (r->replies_of_link > 0) {
        /* If refused, what stands behind it may have run in another client's database. */
        r->replies_of_link -= done;
        return error && done ? OUTBOX_BROKEN : OUTBOX_GOES_ON;
    }
    if (r->replies_to_skip > 0) {
        if (error && (r->flags & REQUEST_BLOCK) != 0) {
            request_note_error(r, bytes, size);
        }
        r->replies_to_skip -= done;
        return OUTBOX_GOES_ON;
    }
    if (done && !outbox_was_sent(o, r)) {
        return OUTBOX_BROKEN;
    }
    if (r->client != NULL) {
        request_add_reply(r, bytes, size);
    }
    if (done) {
        *answered = outbox_pop(o);
    }
    return OUTBOX_GOES_ON;
}

enum outbox_says outbox_take(struct outbox *o, const uint8_t *bytes, size_t size,
                             void (*answered)(void *ctx, struct request *r), void *ctx)
{
    for (size_t at = 0; at < size;) {
        bool done = false;
        struct request *r;
        long took = resp_reply_take(&o->framer, bytes + at, size - at, &done);
        if (took <= 0) {
            return OUTBOX_BROKEN;
        }
        enum outbox_says says = outbox_piece(o, bytes + at, (size_t)took, done, &r);
        if (says != OUTBOX_GOES_ON) {
            return says;
        }
        if (r != NULL) {
            answered(ctx, r);
        }
        at += (size_t)took;
    }
    return OUTBOX_GOES_ON;
}

/* ---- the connection's end, and leaving without an answer ---- */

struct request *outbox_lost(struct outbox *o, bool moved)
{
    struct request *unknown = NULL, **unknown_end = &unknown, **kept_end = &o->first;
    struct request *last = NULL;

    for (struct request *r = o->first, *next; r != NULL; r = next) {
        next = r->next_in_batch;
        if (!moved && outbox_was_sent(o, r) && (r->flags & REQUEST_RETRY) == 0) {
            r->next_in_batch = NULL;
            *unknown_end = r;
            unknown_end = &r->next_in_batch;
            o->count--;
            continue;
        }
        request_unanswer(r); /* a part of it may have come */
        *kept_end = r;
        kept_end = &r->next_in_batch;
        last = r;
    }
    *kept_end = NULL;
    o->last = last;
    o->linked = false;
    o->written = o->begin;
    if (o->first == NULL) {
        outbox_drop_bytes(o);
    }
    return unknown;
}

struct request *outbox_expire(struct outbox *o, uint64_t queued_before_ns)
{
    struct request *expired = NULL, **end = &expired;

    MUST(!o->linked);
    while (o->first != NULL && o->first->queued_ns <= queued_before_ns) {
        *end = outbox_pop(o);
        end = &(*end)->next_in_batch;
    }
    return expired;
}

struct request *outbox_take_first(struct outbox *o, const uint8_t **bytes)
{
    struct request *r = o->first;

    MUST(!o->linked);
    if (r == NULL) {
        outbox_drop_bytes(o);
        return NULL;
    }
    *bytes = buf_head(&o->bytes) + (r->command_at - o->begin);
    o->first = r->next_in_batch;
    o->last = o->first != NULL ? o->last : NULL;
    r->next_in_batch = NULL;
    o->count--;
    return r;
}
