#include "proxy/clients/request.h"

#include "common/mem.h"
#include "proxy/clients/slowlog.h"

#include <stdlib.h>
#include <string.h>

enum { REQUEST_POOL_MAX = 16384 };

struct request *request_take(struct request_pool *pool)
{
    struct request *r = pool->free;

    if (r != NULL) {
        pool->free = r->next_of_client;
        pool->free_count--;
    } else {
        r = mem_alloc(sizeof *r);
    }
    /* Everything but the inline arrays, which are written before they are read. */
    memset(r, 0, offsetof(struct request, inline_hashes));
    pool->live_count++;
    return r;
}

static void request_free_keys(struct request *r)
{
    if (r->waiter.hashes != r->inline_hashes) {
        free((void *)(uintptr_t)r->waiter.hashes);
    }
    r->waiter.hashes = NULL;
    r->waiter.hash_count = 0;
}

void request_give(struct request_pool *pool, struct request *r)
{
    MUST(r->waiter.state == TRACKER_OUT);
    request_free_keys(r);
    free(r->note);
    slowlog_who_release(r->who);
    chain_release(&r->reply);
    MUST(pool->live_count > 0);
    pool->live_count--;
    if (pool->free_count >= REQUEST_POOL_MAX) {
        free(r);
        return;
    }
    r->next_of_client = pool->free;
    pool->free = r;
    pool->free_count++;
}

void request_pool_release(struct request_pool *pool)
{
    while (pool->free != NULL) {
        struct request *r = pool->free;
        pool->free = r->next_of_client;
        free(r);
    }
    pool->free_count = 0;
}

void request_set_keys(struct request *r, const uint64_t *hashes, uint32_t count)
{
    uint64_t *own = r->inline_hashes;

    request_free_keys(r);
    if (count > REQUEST_INLINE_KEYS) {
        own = mem_alloc(count * sizeof *own);
    }
    if (count > 0) {
        memcpy(own, hashes, count * sizeof *own);
    }
    r->waiter.hashes = own;
    r->waiter.hash_count = count;
}

void request_add_reply(struct request *r, const void *bytes, size_t size)
{
    if (r->reply.len == 0 && r->inline_len + size <= REQUEST_INLINE_BYTES) {
        memcpy(r->inline_reply + r->inline_len, bytes, size);
        r->inline_len += (uint32_t)size;
        return;
    }
    if (r->inline_len > 0) {
        chain_append(&r->reply, r->inline_reply, r->inline_len);
        r->inline_len = 0;
    }
    chain_append(&r->reply, bytes, size);
}

size_t request_reply_bytes(const struct request *r)
{
    return r->inline_len + r->reply.len;
}

/* Its first bytes: all of an inline one, and more than a kind of error takes of another. */
static const uint8_t *request_reply_head(const struct request *r, size_t *size)
{
    *size = r->inline_len;
    return r->inline_len > 0 ? r->inline_reply : chain_head(&r->reply, size);
}

uint8_t request_reply_type(const struct request *r)
{
    size_t size;
    const uint8_t *bytes = request_reply_head(r, &size);

    return size > 0 ? bytes[0] : 0;
}

bool request_reply_begins(const struct request *r, const char *with)
{
    size_t size, len = strlen(with);
    const uint8_t *bytes = request_reply_head(r, &size);

    return size >= len && memcmp(bytes, with, len) == 0;
}

void request_move_reply(struct request *r, struct buf *out)
{
    if (r->inline_len > 0) {
        buf_append(out, r->inline_reply, r->inline_len);
        r->inline_len = 0;
    }
    chain_move_to(&r->reply, out);
}

void request_cut_reply(struct request *r)
{
    struct buf whole = BUF_INIT;

    request_move_reply(r, &whole);
    const uint8_t *bytes = buf_head(&whole);
    const uint8_t *end = whole.len > 0 ? memchr(bytes, '\n', whole.len) : NULL;
    request_set_reply(r, bytes, end != NULL ? (size_t)(end + 1 - bytes) : whole.len);
    buf_release(&whole);
}

void request_note_error(struct request *r, const void *bytes, size_t size)
{
    char *text = r->note;

    if (text == NULL) {
        text = r->note = mem_calloc(1, REQUEST_ERROR_BYTES);
    }
    size_t len = strlen(text), room = REQUEST_ERROR_BYTES - 1 - len;
    if (memchr(text, '\n', len) == NULL) {
        memcpy(text + len, bytes, size < room ? size : room);
    }
}

void request_unanswer(struct request *r)
{
    if ((r->flags & REQUEST_BLOCK) != 0 && r->note != NULL) {
        memset(r->note, 0, REQUEST_ERROR_BYTES);
    }
    request_set_reply(r, "", 0);
}

bool request_lacked_memory(const struct request *r)
{
    const char *inside = (r->flags & REQUEST_BLOCK) != 0 ? r->note : NULL;

    return request_reply_begins(r, "-OOM") ||
           request_reply_begins(r, "-EXECABORT Transaction discarded because of: OOM") ||
           (inside != NULL && strncmp(inside, "-OOM", 4) == 0);
}

void request_send_reply(struct request *r, struct chain *out)
{
    if (r->inline_len > 0) {
        chain_append(out, r->inline_reply, r->inline_len);
        r->inline_len = 0;
        return;
    }
    chain_move(out, &r->reply);
}

void request_set_reply(struct request *r, const void *bytes, size_t size)
{
    r->inline_len = 0;
    chain_release(&r->reply);
    request_add_reply(r, bytes, size);
}

void request_take_reply(struct request *r, struct buf *reply)
{
    r->inline_len = 0;
    chain_release(&r->reply);
    if (reply->len > REQUEST_INLINE_BYTES) {
        chain_take(&r->reply, reply);
    } else if (reply->len > 0) {
        request_add_reply(r, buf_head(reply), reply->len);
    }
    buf_release(reply);
}
