/* Packing closed segments: the log is the same before and after, at every moment and whatever
 * fails or meets it; only what it takes of the disk is not. */
#include "tests/lib/store_case.h"

enum { RECORDS = 150, RECORD_BYTES = 500, STEP_BYTES = 3000 };

/* A log of several closed segments with a record in each batch, but here and there two or a large
 * one; units of several records; idle marks. */
static void make_log_of(unsigned records)
{
    model_begin();
    m.cut_to = UINT64_MAX;
    ck_assert_int_eq(reopen(), ERR_OK);
    ck_assert_int_eq(save_meta(), ERR_OK);
    ck_assert_int_eq(reset_to(BEGIN), ERR_OK);
    for (unsigned i = 0; i < records; i++) {
        m.term += i % 40 == 39;
        ck_assert_int_eq(append(i % 29 == 7 ? 9000 : RECORD_BYTES + i % 7), ERR_OK);
        if (i % 5 != 3) {
            ck_assert_int_eq(flush(), ERR_OK);
        }
        if (i % 13 == 2) {
            int rc = mark_idle();
            ck_assert(rc == ERR_OK || rc == ERR_NO_SPACE);
        }
    }
    ck_assert_int_eq(flush(), ERR_OK);
}

static void make_log(void)
{
    make_log_of(RECORDS);
}

static void setup(void)
{
    unit_hush();
    segment_bytes = SEGMENT;
    pack_percent = 100; /* no file is smaller than the segments here: all that can be is done */
}

/* All records, as the log hands them out, without what is the node's own in them. */
static void all_records(struct buf *out)
{
    struct storage_state s = state();
    struct buf b = BUF_INIT;
    struct record r;
    uint8_t header[RECORD_HEADER_BYTES];

    buf_clear(out);
    for (uint64_t at = s.begin; at < s.flush_off;) {
        buf_clear(&b);
        ck_assert_int_eq(m.st->ops->read(m.st, at, 1, &b), ERR_OK);
        ck_assert_int_eq(record_decode_header(buf_head(&b), b.len, &r), ERR_OK);
        r.flags &= ~RECORD_OWN_FLAGS;
        r.flushed = 0;
        record_encode_header(&r, header);
        buf_append(out, header, sizeof header);
        at = record_end(&r);
    }
    buf_release(&b);
}

struct packed {
    unsigned files, failures;
    bool stopped; /* by an error that is final */
};

/* Packs until nothing is left to do, or so many steps. */
static struct packed pack(unsigned steps)
{
    struct packed done = {0};
    struct storage_pack what;

    for (unsigned i = 0; i < steps; i++) {
        int rc = m.st->ops->pack(m.st, STEP_BYTES, &what);
        done.stopped = rc != ERR_OK;
        if (rc != ERR_OK || what.idle || fake_disk_is_dead(m.disk)) {
            break;
        }
        done.files += what.packed;
        done.failures += what.failed;
        if (done.failures > 3) {
            break;
        }
    }
    return done;
}

static unsigned count_steps(void)
{
    struct storage_pack what = {0};
    unsigned steps = 0;

    make_log();
    while (!what.idle) {
        ck_assert_int_eq(m.st->ops->pack(m.st, STEP_BYTES, &what), ERR_OK);
        steps++;
    }
    model_end();
    return steps;
}

static uint64_t closed_bytes(void)
{
    uint64_t sum = 0;
    const char *path;
    size_t size;

    for (size_t i = 0; (path = fake_disk_name(m.disk, i)) != NULL; i++) {
        if (strstr(path, "/seg-") != NULL &&
            strcmp(path, fake_disk_last(m.disk, "d/log/seg-")) != 0) {
            ck_assert_ptr_nonnull(fake_disk_bytes(m.disk, path, &size));
            sum += size;
        }
    }
    return sum;
}

static bool has_temporary(void)
{
    return fake_disk_last(m.disk, "d/log/pack.tmp") != NULL;
}

static void restart(enum fake_disk_loss loss, uint64_t seed)
{
    store_close(m.store);
    m.store = NULL;
    fake_disk_crash(m.disk, loss, seed);
    ck_assert_int_eq(reopen(), ERR_OK);
    check_reopened();
    ck_assert(!has_temporary());
}

/* Records, offsets and checksums are the same; the files are a fraction; what is packed is known,
 * also after a restart; and the log goes on. */
START_TEST(the_same_log_in_less)
{
    struct buf before = BUF_INIT, after = BUF_INIT;

    segment_bytes = 16 * (uint64_t)SEGMENT; /* small enough ones are never looked at again */
    pack_percent = 75;
    make_log_of(1000);
    all_records(&before);
    uint64_t bytes = closed_bytes();
    ck_assert_uint_ge(bytes, 3 * segment_bytes);
    struct packed done = pack(UINT32_MAX);
    ck_assert_uint_eq(done.files, bytes / segment_bytes);
    ck_assert_uint_eq(done.failures, 0);
    ck_assert_uint_le(closed_bytes(), bytes / 2);
    all_records(&after);
    ck_assert(after.len == before.len &&
              memcmp(buf_head(&after), buf_head(&before), after.len) == 0);
    check_bytes(1);
    check_bytes(100000);
    for (int i = 0; i < 2; i++) {
        uint64_t ops = fake_disk_ops(m.disk), reads = fake_disk_reads(m.disk);
        ck_assert_uint_eq(pack(UINT32_MAX).files, 0);
        ck_assert(fake_disk_ops(m.disk) == ops && fake_disk_reads(m.disk) == reads);
        restart(FAKE_DISK_LOSE_ALL, 0);
    }
    all_records(&after);
    ck_assert(after.len == before.len &&
              memcmp(buf_head(&after), buf_head(&before), after.len) == 0);
    for (int i = 0; i < 300; i++) {
        ck_assert_int_eq(append(RECORD_BYTES), ERR_OK);
        ck_assert_int_eq(flush(), ERR_OK);
    }
    ck_assert_uint_gt(pack(UINT32_MAX).files, 0);
    restart(FAKE_DISK_LOSE_ALL, 0);
    buf_release(&before);
    buf_release(&after);
    model_end();
}
END_TEST

/* One write at a time and rest behind each: every segment is full to its last block, which an idle
 * record has. All are packed, also by a node that was started anew in between. */
START_TEST(slow_client)
{
    for (int restarted = 0; restarted < 2; restarted++) {
        segment_bytes = 4 * (uint64_t)SEGMENT;
        pack_percent = 75;
        model_begin();
        m.cut_to = UINT64_MAX;
        ck_assert_int_eq(reopen(), ERR_OK);
        ck_assert_int_eq(save_meta(), ERR_OK);
        ck_assert_int_eq(reset_to(BEGIN), ERR_OK);
        for (unsigned i = 0; i < 500; i++) {
            ck_assert_int_eq(append(RECORD_BYTES), ERR_OK);
            ck_assert_int_eq(flush(), ERR_OK);
            int rc = mark_idle();
            ck_assert(rc == ERR_OK || rc == ERR_NO_SPACE);
        }
        uint64_t bytes = closed_bytes();
        ck_assert_uint_ge(bytes, 10 * segment_bytes);
        if (restarted > 0) {
            restart(FAKE_DISK_LOSE_ALL, 0);
        }
        struct packed done = pack(UINT32_MAX);
        ck_assert_uint_eq(done.files, bytes / segment_bytes);
        ck_assert_uint_eq(done.failures, 0);
        ck_assert_uint_le(closed_bytes(), bytes / 2);
        check_bytes(3000);
        restart(FAKE_DISK_LOSE_ALL, 0);
        ck_assert_uint_eq(pack(UINT32_MAX).files, 0);
        model_end();
    }
}
END_TEST

/* What would not win a quarter is left alone: without reading it where its records were counted,
 * else when that is seen. */
START_TEST(not_worth_it)
{
    segment_bytes = 4 * (uint64_t)SEGMENT;
    pack_percent = 75;
    model_begin();
    m.cut_to = UINT64_MAX;
    ck_assert_int_eq(reopen(), ERR_OK);
    ck_assert_int_eq(reset_to(BEGIN), ERR_OK);
    for (unsigned i = 0; i < 7000; i++) {
        ck_assert_int_eq(append(60), ERR_OK);
        ck_assert_int_eq(i % 100 == 0 ? flush() : ERR_OK, ERR_OK);
    }
    ck_assert_int_eq(flush(), ERR_OK);
    uint64_t bytes = closed_bytes();
    ck_assert_uint_gt(bytes, 0);
    uint64_t reads = fake_disk_reads(m.disk);
    ck_assert_uint_eq(pack(UINT32_MAX).files, 0);
    ck_assert_uint_eq(fake_disk_reads(m.disk), reads);
    restart(FAKE_DISK_LOSE_ALL, 0);
    ck_assert_uint_eq(pack(UINT32_MAX).files, 0);
    ck_assert_uint_eq(closed_bytes(), bytes);
    ck_assert(!has_temporary());
    reads = fake_disk_reads(m.disk);
    ck_assert_uint_eq(pack(UINT32_MAX).files, 0);
    ck_assert_uint_eq(fake_disk_reads(m.disk), reads);
    model_end();
}
END_TEST

/* It is read, in pieces of any size, and looked after between all steps: nothing is missed, and
 * nothing that is no damage taken for some. */
START_TEST(readers_meanwhile)
{
    struct storage_pack what = {0};
    struct storage_check looked;

    for (size_t piece = 1; piece < 100000; piece *= 300) {
        make_log();
        for (unsigned i = 0; !what.idle || i < 2; i++) {
            check_bytes(piece);
            for (unsigned k = 0; k <= i % 4; k++) {
                ck_assert_int_eq(m.st->ops->check(m.st, 1000 + 3000 * (i % 3), &looked), ERR_OK);
            }
            ck_assert_int_eq(m.st->ops->pack(m.st, STEP_BYTES, &what), ERR_OK);
            ck_assert_uint_eq(state().holes.count, 0);
            ck_assert_uint_eq(state().holes.found, 0);
        }
        what.idle = false;
        restart(FAKE_DISK_LOSE_ALL, 0);
        model_end();
    }
}
END_TEST

/* The power goes at every operation of the disk. */
START_TEST(power_failure_everywhere)
{
    make_log();
    uint64_t before = fake_disk_ops(m.disk);
    ck_assert_uint_gt(pack(UINT32_MAX).files, 1);
    uint64_t ops = fake_disk_ops(m.disk) - before;
    model_end();
    for (uint64_t op = 0; op < ops; op++) {
        for (unsigned seed = 0; seed < 3; seed++) {
            make_log();
            fake_disk_die_at(m.disk, fake_disk_ops(m.disk) + op);
            (void)pack(UINT32_MAX);
            ck_assert(fake_disk_is_dead(m.disk));
            restart(seed == 0 ? FAKE_DISK_LOSE_ALL : FAKE_DISK_LOSE_SOME, op * 7 + seed);
            ck_assert_uint_eq(pack(UINT32_MAX).failures, 0);
            restart(FAKE_DISK_LOSE_ALL, 0);
            model_end();
        }
    }
}
END_TEST

/* One operation fails: as long as it concerns only the new file, the old one stays, the log goes
 * on, and the next try is a new one; else it is final. Whatever the cache shows, a power failure
 * takes back nothing. */
START_TEST(error_everywhere)
{
    unsigned given_up = 0, final = 0;

    make_log();
    uint64_t before = fake_disk_ops(m.disk);
    (void)pack(UINT32_MAX);
    uint64_t ops = fake_disk_ops(m.disk) - before;
    model_end();
    for (uint64_t op = 0; op < 2 * ops; op++) {
        make_log();
        fake_disk_set_buffered(m.disk, op % 2 == 1);
        fake_disk_fail_at(m.disk, fake_disk_ops(m.disk) + op / 2);
        struct packed done = pack(UINT32_MAX);
        ck_assert(done.stopped == store_errored(m.store));
        given_up += done.failures;
        final += done.stopped;
        if (!done.stopped) {
            ck_assert_uint_eq(done.failures, 1);
            ck_assert(!has_temporary());
            check_bytes(5000);
            ck_assert_int_eq(append(100), ERR_OK);
            ck_assert_int_eq(flush(), ERR_OK);
        }
        restart(op % 4 < 2 ? FAKE_DISK_LOSE_ALL : FAKE_DISK_KEEP_ALL, 0);
        restart(FAKE_DISK_LOSE_ALL, 0);
        model_end();
    }
    ck_assert_uint_gt(given_up, 10);
    ck_assert_uint_ge(final, 4);
}
END_TEST

/* No room: nothing is begun, or what was begun is removed; with room it is done. */
START_TEST(full_disk)
{
    unsigned steps = count_steps();

    for (unsigned step = 0; step < steps; step += 3) {
        make_log();
        (void)pack(step);
        uint64_t closed = closed_bytes();
        fake_disk_set_capacity(m.disk, fake_disk_used(m.disk));
        struct packed done = pack(UINT32_MAX);
        ck_assert(!done.stopped);
        ck_assert_uint_le(closed_bytes(), closed);
        ck_assert(!has_temporary() || done.failures == 0);
        check_bytes(5000);
        fake_disk_set_capacity(m.disk, UINT64_MAX / 2);
        ck_assert_uint_eq(pack(UINT32_MAX).failures, 0);
        ck_assert(!has_temporary());
        check_bytes(5000);
        restart(FAKE_DISK_LOSE_ALL, 0);
        model_end();
    }
}
END_TEST

static int compare_offsets(const void *a, const void *b)
{
    uint64_t x, y;

    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x < y ? -1 : x > y;
}

/* Where segments begin: the oldest is 0, the newest of those behind which another one stands is
 * SEGMENT_NEWEST. */
enum { SEGMENT_NEWEST = -1, SEGMENTS_MAX = 64 };

static uint64_t segment_begin(int which)
{
    uint64_t begins[SEGMENTS_MAX];
    size_t count = 0;
    const char *path, *name;

    for (size_t i = 0; (path = fake_disk_name(m.disk, i)) != NULL; i++) {
        name = strstr(path, "/seg-");
        if (name != NULL) {
            ck_assert_uint_lt(count, SEGMENTS_MAX);
            begins[count++] = strtoull(name + 5, NULL, 10);
        }
    }
    ck_assert_uint_ge(count, 4);
    qsort(begins, count, sizeof begins[0], compare_offsets);
    return begins[which == SEGMENT_NEWEST ? count - 2 : (size_t)which];
}

/* The end of a record in the middle of a segment. */
static uint64_t in_the_middle(uint64_t from)
{
    struct buf b = BUF_INIT;
    struct record r;

    ck_assert_int_eq(m.st->ops->read(m.st, from + 4000, 1, &b), ERR_OK);
    ck_assert_int_eq(record_decode_header(buf_head(&b), b.len, &r), ERR_OK);
    buf_release(&b);
    return record_end(&r);
}

/* What may be done to a log while it is packed. */
static void interfere(unsigned what)
{
    uint64_t newest = segment_begin(SEGMENT_NEWEST), older = segment_begin(1);

    if (what == 0) {
        ck_assert_int_eq(truncate_to(in_the_middle(newest)), ERR_OK);
    } else if (what == 1) {
        ck_assert_int_eq(truncate_to(in_the_middle(older)), ERR_OK);
    } else if (what == 2) {
        ck_assert_int_eq(truncate_to(older), ERR_OK);
    } else if (what == 3) {
        ck_assert_int_eq(truncate_to(BEGIN), ERR_OK);
    } else if (what == 4) {
        ck_assert_int_eq(trim_to(m.flushed - 20000), ERR_OK);
    } else if (what == 5) {
        ck_assert_int_eq(reset_to(BEGIN), ERR_OK); /* the same name, another log */
    } else {
        ck_assert_int_eq(trim_to(older), ERR_OK);
        ck_assert_int_eq(truncate_to(in_the_middle(newest)), ERR_OK);
    }
}

/* Cuts, trims and resets after any number of steps, then more of the log, which is packed in turn;
 * with and without a power failure right behind. */
START_TEST(cuts_and_trims_meanwhile)
{
    unsigned steps = count_steps();

    for (unsigned what = 0; what < 7; what++) {
        for (unsigned step = 0; step < steps; step++) {
            make_log();
            (void)pack(step);
            interfere(what);
            (void)pack(step % 5);
            check_bytes(3000);
            if (step % 2 == 1) {
                restart(FAKE_DISK_LOSE_SOME, step);
            }
            for (unsigned i = 0; i < 60; i++) {
                ck_assert_int_eq(append(RECORD_BYTES + i % 3), ERR_OK);
                ck_assert_int_eq(flush(), ERR_OK);
                ck_assert(!pack(1).stopped);
            }
            ck_assert_uint_eq(pack(UINT32_MAX).failures, 0);
            ck_assert(!has_temporary());
            check_bytes(3000);
            restart(FAKE_DISK_LOSE_ALL, 0);
            /* Each segment ends where the next one begins, and no file says more. */
            ck_assert_uint_eq(state().holes.count, 0);
            model_end();
        }
    }
}
END_TEST

/* What a trim removes is not packed to its end: no more is read of it, and what was made of it goes
 * at once. What a trim leaves is packed on. */
START_TEST(trimmed_meanwhile)
{
    for (int removed = 0; removed < 2; removed++) {
        make_log();
        uint64_t newest = segment_begin(SEGMENT_NEWEST);
        (void)pack(2);
        ck_assert(has_temporary());
        ck_assert_int_eq(trim_to(removed > 0 ? m.flushed : newest), ERR_OK);
        ck_assert(removed > 0 ? m.begin > newest : m.begin == newest);
        uint64_t reads = fake_disk_reads(m.disk);
        (void)pack(1);
        ck_assert(has_temporary() == (removed == 0));
        ck_assert(removed == 0 || fake_disk_reads(m.disk) == reads);
        ck_assert_uint_eq(pack(UINT32_MAX).files, removed == 0);
        restart(FAKE_DISK_LOSE_ALL, 0);
        model_end();
    }
}
END_TEST

/* Packed segments are cut, trimmed and begun anew like others, with the power failing at each
 * operation of it. */
START_TEST(cuts_of_packed_segments)
{
    for (unsigned what = 0; what < 7; what++) {
        for (uint64_t op = 0, dead = 1; dead > 0; op++) {
            make_log();
            ck_assert_uint_gt(pack(UINT32_MAX).files, 1);
            uint64_t newest = segment_begin(SEGMENT_NEWEST), older = segment_begin(1);
            uint64_t offset = what == 0   ? in_the_middle(newest)
                              : what == 1 ? in_the_middle(older)
                              : what == 2 ? older
                                          : BEGIN;
            fake_disk_die_at(m.disk, fake_disk_ops(m.disk) + op);
            int rc = what < 4 ? truncate_to(offset) : what < 6 ? trim_to(newest) : reset_to(BEGIN);
            dead = fake_disk_is_dead(m.disk);
            ck_assert(rc == (dead > 0 ? ERR_IO : ERR_OK));
            fake_disk_die_at(m.disk, 0);
            restart(dead > 0 ? FAKE_DISK_LOSE_SOME : FAKE_DISK_LOSE_ALL, op);
            ck_assert_int_eq(append(RECORD_BYTES), ERR_OK);
            ck_assert_int_eq(flush(), ERR_OK);
            restart(FAKE_DISK_LOSE_ALL, 0);
            model_end();
        }
    }
}
END_TEST

int main(void)
{
    return UNIT_RUN_FOR("store_pack", setup, NULL, 240, the_same_log_in_less, slow_client,
                        not_worth_it, readers_meanwhile, power_failure_everywhere, error_everywhere,
                        full_disk, cuts_and_trims_meanwhile, trimmed_meanwhile,
                        cuts_of_packed_segments);
}
