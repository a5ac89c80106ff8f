/* One request's keys and reply, small and large, and the pool that it comes from. */
#include "proxy/clients/request.h"

#include "common/mem.h"

#include "tests/lib/unit.h"

#include <stdlib.h>
#include <string.h>

/* A reply collected in pieces of any size is whole, on both sides of the border between the inline
 * bytes and the buffer, and so is what it is moved behind. */
START_TEST(test_reply)
{
    struct request_pool pool = {0};
    uint8_t bytes[400];

    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(i * 31);
    }
    for (size_t size = 0; size < sizeof bytes; size += 7) {
        for (size_t piece = 1; piece < 200; piece += 13) {
            struct request *r = request_take(&pool);
            struct buf out = BUF_INIT;
            for (size_t at = 0; at < size; at += piece) {
                request_add_reply(r, bytes + at, size - at < piece ? size - at : piece);
            }
            ck_assert_uint_eq(request_reply_bytes(r), size);
            ck_assert_uint_eq(request_reply_type(r), size > 0 ? bytes[0] : 0);
            if (piece % 2 == 0) {
                buf_append(&out, "before", 6);
            }
            size_t before = out.len;
            request_move_reply(r, &out);
            ck_assert_uint_eq(request_reply_bytes(r), 0);
            ck_assert_uint_eq(out.len, before + size);
            ck_assert(size == 0 || memcmp(buf_head(&out) + before, bytes, size) == 0);
            ck_assert_int_eq(memcmp("before", before > 0 ? buf_head(&out) : bytes, before), 0);
            buf_release(&out);
            request_give(&pool, r);
        }
    }
    request_pool_release(&pool);
}
END_TEST

/* Setting a reply replaces what was collected, from small to large and back. */
START_TEST(test_set_reply)
{
    struct request_pool pool = {0};
    struct request *r = request_take(&pool);
    uint8_t *large = mem_calloc(1, 1000);

    request_add_reply(r, "+small\r\n", 8);
    request_set_reply(r, large, 1000);
    ck_assert_uint_eq(request_reply_bytes(r), 1000);
    request_set_reply(r, "-x\r\n", 4);
    ck_assert_uint_eq(request_reply_bytes(r), 4);
    ck_assert_uint_eq(request_reply_type(r), '-');
    for (size_t size = 0; size < 1000; size += 111) {
        struct buf whole = BUF_INIT, out = BUF_INIT;
        buf_append(&whole, large, size);
        request_take_reply(r, &whole);
        ck_assert(whole.len == 0 && whole.data == NULL);
        request_add_reply(r, "x", 1);
        request_move_reply(r, &out);
        ck_assert_uint_eq(out.len, size + 1);
        ck_assert(memcmp(buf_head(&out), large, size) == 0 && buf_head(&out)[size] == 'x');
        buf_release(&out);
    }
    request_give(&pool, r);
    request_pool_release(&pool);
    free(large);
}
END_TEST

/* What a reply begins with is seen wherever it lies, and not beyond its end. */
START_TEST(test_begins)
{
    struct request_pool pool = {0};
    struct request *r = request_take(&pool);

    ck_assert(!request_reply_begins(r, "-ERR "));
    request_add_reply(r, "-ERR", 4);
    ck_assert(!request_reply_begins(r, "-ERR "));
    ck_assert(request_reply_begins(r, "-ERR"));
    request_add_reply(r, " x", 2);
    ck_assert(request_reply_begins(r, "-ERR "));
    for (int i = 0; i < 100; i++) {
        request_add_reply(r, " and more", 9);
    }
    ck_assert(request_reply_begins(r, "-ERR x and"));
    ck_assert(!request_reply_begins(r, "-ERX"));
    request_give(&pool, r);
    request_pool_release(&pool);
}
END_TEST

/* That Redis lacked memory is seen in what it says of a request, of EXEC, and inside MULTI; and is
 * forgotten by what is sent again. */
START_TEST(test_lacked_memory)
{
    static const char *const lacks[] = {"-OOM command not allowed\r\n",
                                        "-EXECABORT Transaction discarded because of: OOM x\r\n"};
    static const char *const others[] = {"+OOM\r\n", "-ERR OOM\r\n",
                                         "-EXECABORT Transaction discarded because of: ERR\r\n"};
    struct request_pool pool = {0};
    struct request *r = request_take(&pool);

    ck_assert(!request_lacked_memory(r));
    for (size_t i = 0; i < sizeof lacks / sizeof *lacks; i++) {
        request_set_reply(r, lacks[i], strlen(lacks[i]));
        ck_assert(request_lacked_memory(r));
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        request_set_reply(r, others[i], strlen(others[i]));
        ck_assert(!request_lacked_memory(r));
    }
    request_note_error(r, lacks[0], strlen(lacks[0]));
    ck_assert(!request_lacked_memory(r)); /* its note is something else */
    r->flags |= REQUEST_BLOCK;
    ck_assert(request_lacked_memory(r));
    request_unanswer(r);
    ck_assert(!request_lacked_memory(r));
    ck_assert_uint_eq(request_reply_bytes(r), 0);
    request_give(&pool, r);
    request_pool_release(&pool);
}
END_TEST

/* Keys are copied, however many, and may be set again. */
START_TEST(test_keys)
{
    struct request_pool pool = {0};
    struct request *r = request_take(&pool);
    uint64_t hashes[100];

    for (uint32_t count = 0; count <= 100; count++) {
        for (uint32_t i = 0; i < count; i++) {
            hashes[i] = count * 1000 + i;
        }
        request_set_keys(r, hashes, count);
        memset(hashes, 0, sizeof hashes);
        ck_assert_uint_eq(r->waiter.hash_count, count);
        for (uint32_t i = 0; i < count; i++) {
            ck_assert_uint_eq(r->waiter.hashes[i], count * 1000 + i);
        }
    }
    request_give(&pool, r);
    request_pool_release(&pool);
}
END_TEST

/* A request from the pool is as new, whatever it was before; the pool counts what is out and keeps
 * a bounded number. */
START_TEST(test_pool)
{
    enum { MANY = 20000 };
    static struct request *requests[MANY];
    struct request_pool pool = {0};
    struct request *r = request_take(&pool);

    r->flags = REQUEST_WAIT;
    r->replies_to_skip = r->replies_of_link = 3;
    r->stage = REQUEST_RELEASED;
    r->waiter.keyspace = true;
    request_add_reply(r, "x", 1);
    request_give(&pool, r);
    ck_assert_ptr_eq(request_take(&pool), r);
    ck_assert(r->flags == 0 && r->replies_to_skip == 0 && r->replies_of_link == 0);
    ck_assert(r->stage == REQUEST_SENT && !r->waiter.keyspace);
    ck_assert(r->client == NULL && r->next_of_client == NULL && request_reply_bytes(r) == 0);
    request_give(&pool, r);
    for (size_t i = 0; i < MANY; i++) {
        requests[i] = request_take(&pool);
    }
    ck_assert_uint_eq(pool.live_count, MANY);
    for (size_t i = 0; i < MANY; i++) {
        request_give(&pool, requests[i]);
    }
    ck_assert_uint_eq(pool.live_count, 0);
    ck_assert_uint_le(pool.free_count, 16384);
    request_pool_release(&pool);
    ck_assert_ptr_null(pool.free);
}
END_TEST

int main(void)
{
    return UNIT_RUN("request", NULL, NULL, test_reply, test_set_reply, test_begins,
                    test_lacked_memory, test_keys, test_pool);
}
