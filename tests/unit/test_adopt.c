/* The adoption with a snapshot ship that is played here: what it does in which order, and that
 * every failure is told once and leaves nothing behind. */
#include "proxy/engine/adopt.h"

#include "common/crc32c.h"
#include "common/mem.h"

#include "tests/lib/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define REPLID   "0123456789abcdef0123456789abcdef01234567"
#define WHATEVER "a reason"

static struct {
    struct adopt *adopt;
    char dir[64], spool[128];
    struct buf log; /* what it did and told, in order */
    struct snapshot_info info;
} w;

/* ---- the ship ---- */

static char ship; /* stands for it */

void snapship_found(struct snapship *s, uint64_t now_ns, struct term term,
                    const struct snapshot_info *info)
{
    ck_assert_ptr_eq(s, (struct snapship *)(void *)&ship);
    buf_printf(&w.log, "upload(%llu,%llu) ", (unsigned long long)now_ns,
               (unsigned long long)term.n);
    w.info = *info;
}

void snapship_stop(struct snapship *s)
{
    ck_assert_ptr_eq(s, (struct snapship *)(void *)&ship);
    buf_append_str(&w.log, "stop ");
}

void snapship_progress(const struct snapship *s, uint64_t *done_bytes, uint64_t *total_bytes)
{
    (void)s;
    *done_bytes = 3;
    *total_bytes = 10;
}

uint32_t snapship_full(const struct snapship *s)
{
    ck_assert_ptr_eq(s, (const struct snapship *)(const void *)&ship);
    return 1;
}

/* ---- the owner ---- */

static void says_done(void *ctx)
{
    (void)ctx;
    buf_append_str(&w.log, "done ");
}

static void says_failed(void *ctx, const char *why)
{
    (void)ctx;
    ck_assert(!adopt_active(w.adopt)); /* it is clean when it says so */
    buf_printf(&w.log, "failed:%s ", why);
}

static const struct adopt_events owner_events = {.done = says_done, .failed = says_failed};

static void expect(const char *log)
{
    buf_append(&w.log, "", 1);
    ck_assert_str_eq((const char *)buf_head(&w.log), log);
    buf_clear(&w.log);
}

static bool spool_is_there(void)
{
    return access(w.spool, F_OK) == 0;
}

static void setup(void)
{
    struct adopt_config config = {.data_dir = w.dir, .stream_max_bytes = 100};

    memset(&w, 0, sizeof w);
    (void)snprintf(w.dir, sizeof w.dir, "/tmp/test_adopt.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(w.dir));
    (void)snprintf(w.spool, sizeof w.spool, "%s/adopt.rdb", w.dir);
    w.adopt = adopt_create(&config, &owner_events, NULL);
}

static void teardown(void)
{
    adopt_destroy(w.adopt);
    ck_assert(!spool_is_there());
    buf_release(&w.log);
    (void)rmdir(w.dir);
}

/* ---- steps ---- */

static void start(void)
{
    adopt_start(w.adopt, (struct snapship *)(void *)&ship, (struct term){5}, "7.0.15");
}

static void full_resync(void)
{
    struct replid replid;
    memcpy(replid.hex, REPLID, sizeof replid.hex);
    adopt_full_resync(w.adopt, &replid, 1000);
}

/* Everything up to that step: 1 started, 2 full resync, 3 RDB, 4 its end, 5 shipped. */
static void go_to(int step)
{
    start();
    if (step >= 2) {
        full_resync();
    }
    if (step >= 3) {
        adopt_rdb(w.adopt, "REDIS", 5);
        adopt_rdb(w.adopt, "00112", 5);
    }
    if (step >= 4) {
        adopt_rdb_end(w.adopt, 77, 88);
    }
    if (step >= 5) {
        adopt_shipped(w.adopt, true, NULL);
    }
}

/* The way to success: the RDB is spooled, shipped with its size, checksum, offset and replid, and
 * can be read back at any place; the stream behind it is kept for the leader. */
START_TEST(test_success)
{
    struct buf out = BUF_INIT;
    uint64_t done = 9, total = 9;

    ck_assert(!adopt_active(w.adopt));
    go_to(4);
    expect("upload(77,5) ");
    ck_assert(adopt_active(w.adopt));
    ck_assert_uint_eq(w.info.offset, 1000);
    ck_assert_uint_eq(w.info.size_bytes, 10);
    ck_assert_uint_eq(w.info.crc, crc32c_extend(0, "REDIS00112", 10));
    ck_assert_uint_eq(w.info.wall_ms, 88);
    ck_assert_uint_eq(w.info.term.n, 5);
    ck_assert_int_eq(memcmp(w.info.replid.hex, REPLID, sizeof w.info.replid.hex), 0);
    ck_assert_str_eq(w.info.engine_version, "7.0.15");
    ck_assert(adopt_read_spool(w.adopt, 3, 5, &out));
    ck_assert_int_eq(memcmp(buf_head(&out), "IS001", 5), 0);
    ck_assert(!adopt_read_spool(w.adopt, 8, 3, &out)); /* behind its end */
    buf_release(&out);
    adopt_progress(w.adopt, &done, &total);
    ck_assert(done == 3 && total == 10);
    adopt_stream(w.adopt, "abc", 3);
    adopt_shipped(w.adopt, true, NULL);
    expect("done ");
    adopt_shipped(w.adopt, true, NULL);
    adopt_stream(w.adopt, "de", 2);
    expect("");
    ck_assert(!adopt_active(w.adopt));
    ck_assert_uint_eq(adopt_offset(w.adopt), 1000);
    ck_assert_int_eq(memcmp(adopt_replid(w.adopt)->hex, REPLID, 40), 0);
    struct buf *pending = adopt_pending_stream(w.adopt);
    ck_assert_uint_eq(pending->len, 5);
    ck_assert_int_eq(memcmp(buf_head(pending), "abcde", 5), 0);
    adopt_stop(w.adopt); /* the leader has taken it; the ship may still serve the slow */
    expect("");
    ck_assert(!spool_is_there());
    ck_assert(!adopt_read_spool(w.adopt, 0, 1, &out));
    buf_release(&out);
    ck_assert_uint_eq(adopt_pending_stream(w.adopt)->len, 0);
}
END_TEST

/* An empty dataset is a dataset too (an RDB always has some bytes, but nothing here depends on it).
 */
START_TEST(test_empty)
{
    start();
    full_resync();
    adopt_rdb_end(w.adopt, 77, 88);
    expect("upload(77,5) ");
    ck_assert_uint_eq(w.info.size_bytes, 0);
    adopt_shipped(w.adopt, true, NULL);
    expect("done ");
}
END_TEST

/* The ship fails; Redis resyncs a second time, in each step; Redis writes too much meanwhile: told
 * once, and what comes late changes nothing. */
START_TEST(test_failures)
{
    static char much[101];

    go_to(4);
    expect("upload(77,5) ");
    adopt_shipped(w.adopt, false, WHATEVER);
    expect("stop failed:" WHATEVER " ");
    adopt_shipped(w.adopt, false, WHATEVER);
    adopt_rdb(w.adopt, "x", 1);
    adopt_rdb_end(w.adopt, 1, 1);
    adopt_stream(w.adopt, "x", 1);
    expect("");
    ck_assert(!spool_is_there());
    for (int step = 2; step <= 4; step++) {
        go_to(step);
        buf_clear(&w.log);
        full_resync();
        expect("stop failed:a second full resync came ");
        ck_assert(!spool_is_there());
    }
    for (int step = 4; step <= 5; step++) {
        go_to(step);
        buf_clear(&w.log);
        adopt_stream(w.adopt, much, 100);
        expect("");
        adopt_stream(w.adopt, much, 1);
        expect(step == 4
                   ? "stop failed:Redis was written to faster than its dataset could be taken "
                   : "failed:Redis was written to faster than its dataset could be taken ");
        ck_assert_uint_eq(adopt_pending_stream(w.adopt)->len, 0);
    }
    go_to(5); /* and then it works */
    expect("upload(77,5) done ");
}
END_TEST

/* A folder that isn't there; a file that can't be written. */
START_TEST(test_disk)
{
    ck_assert_int_eq(rmdir(w.dir), 0);
    start();
    full_resync();
    expect("stop failed:the spool file can't be made (see data_dir) ");
    adopt_rdb(w.adopt, "x", 1);
    expect("");
    ck_assert_int_eq(mkdir(w.dir, 0700), 0);
    ck_assert_int_eq(symlink("/dev/full", w.spool), 0); /* is replaced, not followed */
    go_to(4);
    expect("upload(77,5) ");
}
END_TEST

/* Stopped at each step, and started again from there: the ship is told if it had something to do,
 * and nobody hears of a failure. */
START_TEST(test_stop)
{
    for (int step = 1; step <= 5; step++) {
        go_to(step);
        buf_clear(&w.log);
        adopt_stop(w.adopt);
        expect(step < 5 ? "stop " : "");
        ck_assert(!adopt_active(w.adopt));
        ck_assert(!spool_is_there());
        go_to(step);
        buf_clear(&w.log);
        start();
        expect(step < 5 ? "stop " : "");
        ck_assert(adopt_active(w.adopt));
        adopt_stop(w.adopt);
        buf_clear(&w.log);
    }
}
END_TEST

int main(void)
{
    return UNIT_RUN("adopt", setup, teardown, test_success, test_empty, test_failures, test_disk,
                    test_stop);
}
