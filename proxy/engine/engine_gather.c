/* Requests on their way into the next batch: composed behind what the link must be told first
 * (name, database, protocol), and sent in one piece with a fence behind them. */
#include "proxy/engine/engine_impl.h"

#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What every user may say, without a trace in ACL LOG, and nothing pushed looks like its answer. */
#define ENGINE_PULSE "*1\r\n$5\r\nHELLO\r\n"

void engine_set_name(struct engine *e, const char *name)
{
    free(e->name);
    e->name = mem_strdup(name);
}

void engine_set_fenced(struct engine *e, bool fenced)
{
    e->unfenced = !fenced;
}

void engine_set_db(struct engine *e, unsigned db)
{
    e->link_db = (int)db;
}

void engine_set_prefix(struct engine *e, const char *prefix)
{
    e->prefix = prefix;
}

static void engine_put_name(struct engine *e, struct request *r)
{
    resp_put_array(&e->gathered, 3);
    resp_put_bulk(&e->gathered, "CLIENT", 6);
    resp_put_bulk(&e->gathered, "SETNAME", 7);
    resp_put_bulk(&e->gathered, e->name, strlen(e->name));
    free(e->name);
    e->name = NULL;
    r->replies_of_link++;
}

static void engine_gather(struct engine *e, struct request *r, unsigned db, unsigned resp)
{
    char text[32];

    MUST(e->state == ENGINE_UP || (e->config.kind != ENGINE_SHARED && e->state != ENGINE_DOWN));
    r->stage = REQUEST_SENT;
    r->next_in_batch = NULL;
    bool bare = e->config.kind == ENGINE_SHARED && r->waiter.harmless;
    if (e->next.last != NULL) {
        e->next.last->next_in_batch = r;
        e->next.bare = e->next.bare && bare;
    } else {
        e->next.first = r;
        e->next.bare = bare;
    }
    e->next.last = r;
    e->urgent = e->urgent || (r->flags & (REQUEST_PATIENT | REQUEST_ASYNC)) != REQUEST_PATIENT;
    if (e->link_resp != (int)resp) {
        buf_append_str(&e->gathered, resp == 3 ? "*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n"
                                               : "*2\r\n$5\r\nHELLO\r\n$1\r\n2\r\n");
        e->link_resp = (int)resp;
        r->replies_of_link++;
    }
    if (e->config.kind == ENGINE_FORWARD && e->link_async != ((r->flags & REQUEST_ASYNC) != 0)) {
        e->link_async = !e->link_async;
        buf_append_str(&e->gathered, e->link_async ? OUTBOX_SYNC_OFF : OUTBOX_SYNC_ON);
        r->replies_of_link++;
    }
    if (e->link_db != (int)db) {
        int len = snprintf(text, sizeof text, "%u", db);
        resp_put_array(&e->gathered, 2);
        resp_put_bulk(&e->gathered, "SELECT", 6);
        resp_put_bulk(&e->gathered, text, (size_t)len);
        e->link_db = (int)db;
        r->replies_of_link++;
    }
    if (e->name != NULL) {
        engine_put_name(e, r);
    }
    if (e->prefix != NULL) {
        buf_append_str(&e->gathered, e->prefix);
        e->prefix = NULL;
        r->replies_to_skip++;
    }
    r->db = db;
    r->resp = resp;
    r->command_at = e->gathered.len;
}

void engine_add(struct engine *e, struct request *r, unsigned db, unsigned resp,
                const struct resp_arg *argv, size_t argc)
{
    engine_gather(e, r, db, resp);
    resp_put_request(&e->gathered, argv, argc);
    r->command_len = e->gathered.len - (size_t)r->command_at;
}

void engine_add_taken(struct engine *e, struct request *r, unsigned db, unsigned resp,
                      struct chain *commands, uint32_t skips)
{
    MUST(e->config.kind != ENGINE_SHARED && engine_is_idle(e));
    engine_gather(e, r, db, resp);
    r->command_len = commands->len;
    r->block_skips = skips;
    r->replies_to_skip += skips;
    outlet_put_ahead(&e->outlet, e->flight_head, &e->gathered, commands);
    if ((r->flags & REQUEST_SELECTS) != 0) {
        e->link_db = e->link_resp = -1; /* as below */
    }
}

void engine_add_bytes(struct engine *e, struct request *r, unsigned db, unsigned resp,
                      const void *bytes, size_t size, uint32_t skips)
{
    engine_gather(e, r, db, resp);
    buf_append(&e->gathered, bytes, size);
    r->command_len = size;
    r->block_skips = skips;
    r->replies_to_skip += skips;
    if ((r->flags & REQUEST_SELECTS) != 0) {
        e->link_db = -1; /* a SELECT in the block may have run or not */
        e->link_resp = e->config.kind == ENGINE_SHARED ? e->link_resp : -1; /* HELLO likewise */
    }
}

void engine_add_block(struct engine *e, struct request *r, unsigned db, unsigned resp,
                      const struct buf *commands, uint32_t command_count, bool selects)
{
    MUST(command_count > 0);
    r->flags |= REQUEST_BLOCK | (selects ? REQUEST_SELECTS : 0u);
    engine_add_bytes(e, r, db, resp, buf_head(commands), commands->len, command_count - 1);
}

const uint8_t *engine_command(const struct engine *e, const struct request *r)
{
    MUST(r->command_at + r->command_len <= e->unsent.len);
    return buf_head(&e->unsent) + r->command_at;
}

bool engine_may_flush(const struct engine *e)
{
    return e->state == ENGINE_UP && e->next.first != NULL &&
           e->flight_count < e->config.batches_in_flight && outlet_is_empty(&e->outlet);
}

bool engine_is_urgent(const struct engine *e)
{
    return e->urgent;
}

/* Whether replies of that kind of link are followed by a fence. */
static bool engine_fences(const struct engine *e)
{
    return engine_is_master_link(e) && !e->unfenced;
}

/* Sends what is gathered, or nothing, with a fence behind it if anything of it tells of data. */
static void engine_send(struct engine *e, uint64_t now_ns)
{
    struct engine_batch *b = &e->flight[(e->flight_head + e->flight_count) % ENGINE_BATCHES_MAX];
    *b = e->next;
    b->waiting = b->first;
    b->sent_ns = now_ns;
    e->next = (struct engine_batch){.bare = false};
    e->urgent = false;
    if (e->flight_count++ == 0) {
        e->progress_ns = now_ns;
    }
    b->bare = !engine_fences(e) || (b->bare && e->outlet.ahead.len == 0);
    if (!b->bare) {
        buf_append_str(&e->gathered, ENGINE_FENCE);
        e->fences_sent++;
    }
    outlet_begin(&e->outlet, &e->gathered);
    engine_write(e);
}

void engine_flush(struct engine *e, uint64_t now_ns)
{
    if (engine_may_flush(e)) {
        e->batch_count++;
        engine_send(e, now_ns);
    }
}

void engine_fence(struct engine *e, uint64_t now_ns)
{
    if (e->state == ENGINE_UP && e->flight_count == 0) {
        e->next.bare = false;
        engine_send(e, now_ns);
    }
}

void engine_keep_alive(struct engine *e, uint64_t now_ns, uint64_t after_ns)
{
    if (e->state == ENGINE_UP && engine_is_master_link(e) && engine_is_idle(e) &&
        now_ns > e->progress_ns && now_ns - e->progress_ns > after_ns) {
        if (!engine_fences(e)) {
            buf_append_str(&e->gathered, ENGINE_PULSE);
        }
        engine_send(e, now_ns);
    }
}

struct request *engine_take_unsent(struct engine *e, const struct client *keep)
{
    struct request *list = engine_join_batch(NULL, &e->next), *unsent = NULL, **end = &unsent;
    struct buf old = BUF_INIT;

    e->urgent = false;
    buf_swap(&old, &e->gathered);
    e->link_db = -1; /* what was to change it is not sent */
    e->link_resp = -1;
    for (struct request *r = list, *next; r != NULL; r = next) {
        next = r->next_in_batch;
        r->next_in_batch = NULL;
        if (r->client != NULL && r->client == keep) {
            r->replies_of_link = r->replies_to_skip = 0;
            engine_add_bytes(e, r, r->db, r->resp, buf_head(&old) + r->command_at, r->command_len,
                             r->block_skips);
        } else {
            *end = r;
            end = &r->next_in_batch;
        }
    }
    buf_release(&old);
    return unsent;
}

size_t engine_gathered_bytes(const struct engine *e)
{
    return e->gathered.len + e->outlet.out.len - e->outlet.out_at;
}
