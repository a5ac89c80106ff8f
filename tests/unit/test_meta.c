/* What an acceptor must remember, as bytes: all of it comes back, and nothing else is taken for it.
 * (The very bytes are in test_vectors.c.) */
#include "common/le.h"
#include "logsvc/meta.h"
#include "tests/lib/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct meta meta;
static struct buf bytes;

static void setup(void)
{
    struct replid replid;

    meta = (struct meta){.cluster_id = {1, 2, 3, [15] = 16},
                         .log_id = 77,
                         .term = {UINT64_C(1) << 60},
                         .disk = {{9, 8, 7}},
                         .conf = {.id = {{5}, 2},
                                  .now = {2,
                                          {{"log1", {{9, 8, 7}}, "10.0.0.1:7401"},
                                           {"log2", {{2}}, "10.0.0.2:7401"}}}},
                         .uncertain_to = 12345,
                         .engine = WIRE_ENGINE(7, 0, 15)};
    memset(meta.node_id, 'n', WIRE_NAME_MAX); /* as long as it may be */
    memset(replid.hex, 'a', sizeof replid.hex);
    ck_assert_int_eq(history_append(&meta.history, (struct log_term){1}, 100, &replid), ERR_OK);
    ck_assert_int_eq(history_append(&meta.history, (struct log_term){5}, 250, &replid), ERR_OK);
    bytes = (struct buf)BUF_INIT;
    meta_encode(&meta, &bytes);
}

static void teardown(void)
{
    buf_release(&bytes);
}

/* Also an empty one: of a node that was never told of anything. */
START_TEST(there_and_back)
{
    struct meta got;

    ck_assert_int_eq(meta_decode(buf_head(&bytes), bytes.len, &got), ERR_OK);
    ck_assert_mem_eq(got.cluster_id, meta.cluster_id, sizeof got.cluster_id);
    ck_assert_uint_eq(got.log_id, meta.log_id);
    ck_assert_str_eq(got.node_id, meta.node_id);
    ck_assert_uint_eq(got.term.n, meta.term.n);
    ck_assert(disk_id_equal(&got.disk, &meta.disk));
    ck_assert_int_eq(conf_id_compare(got.conf.id, meta.conf.id), 0);
    ck_assert_uint_eq(got.conf.now.count, 2);
    ck_assert_str_eq(got.conf.now.members[1].address, "10.0.0.2:7401");
    ck_assert_uint_eq(got.uncertain_to, meta.uncertain_to);
    ck_assert_uint_eq(got.engine, meta.engine);
    ck_assert(history_equal(&got.history, &meta.history));

    struct meta fresh = {.disk = {{1}}};
    buf_clear(&bytes);
    meta_encode(&fresh, &bytes);
    ck_assert_int_eq(meta_decode(buf_head(&bytes), bytes.len, &got), ERR_OK);
    ck_assert_uint_eq(got.term.n, 0);
    ck_assert_uint_eq(got.history.count, 0);
    ck_assert_int_eq(conf_kind(&got.conf), CONF_NONE);
    ck_assert_str_eq(got.node_id, "");
}
END_TEST

/* Every cut, and what is behind it, is noticed. */
START_TEST(sizes)
{
    struct meta got;

    for (size_t size = 0; size < bytes.len; size++) {
        uint8_t *exact = malloc(size > 0 ? size : 1); /* so that a sanitizer sees a step too far */
        memcpy(exact, buf_head(&bytes), size);
        ck_assert_int_eq(meta_decode(exact, size, &got), ERR_CORRUPT);
        free(exact);
    }
    buf_append(&bytes, "", 1);
    ck_assert_int_eq(meta_decode(buf_head(&bytes), bytes.len, &got), ERR_CORRUPT);
}
END_TEST

/* Another format is refused by name; what can't be is damage. */
START_TEST(garbled)
{
    uint8_t *at = buf_head(&bytes);
    struct meta got;

    le_put32(at + 4, META_FORMAT - 1);
    ck_assert_int_eq(meta_decode(at, bytes.len, &got), ERR_REFUSED);
    ck_assert_int_eq(meta_decode(at, 8, &got), ERR_REFUSED); /* however short it may be */
    le_put32(at + 4, META_FORMAT);
    at[0] ^= 1;
    ck_assert_int_eq(meta_decode(at, bytes.len, &got), ERR_CORRUPT);
    at[0] ^= 1;
    at[119] = 'n'; /* the node id does not end */
    ck_assert_int_eq(meta_decode(at, bytes.len, &got), ERR_CORRUPT);
    at[119] = 0;
    for (uint32_t size = le_get32(at + 40), wrong = 0; wrong < 4; wrong++) {
        uint32_t other[] = {size - 1, size + 1, 0, UINT32_MAX};
        le_put32(at + 40, other[wrong]);
        ck_assert_int_eq(meta_decode(at, bytes.len, &got), ERR_CORRUPT);
        le_put32(at + 40, size);
    }
    uint8_t disk[CONF_DISK_ID_BYTES];
    memcpy(disk, at + 120, sizeof disk);
    memset(at + 120, 0, sizeof disk);
    ck_assert_int_eq(meta_decode(at, bytes.len, &got), ERR_CORRUPT);
    memcpy(at + 120, disk, sizeof disk);
    ck_assert_int_eq(meta_decode(at, bytes.len, &got), ERR_OK);
}
END_TEST

int main(void)
{
    return UNIT_RUN("meta", setup, teardown, there_and_back, sizes, garbled);
}
