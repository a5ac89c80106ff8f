/* The store: every flushed byte is there after any crash, and any error ends it. The same script of
 * operations runs with the power going, or one operation failing, at each operation of the disk in
 * turn; and what has rotted is not taken for what was never written. */
#include "tests/lib/store_case.h"

/* The script: records small and large, batches, idle marks, votes, cuts inside and across segments,
 * a begin that is forgotten, a reset. Ends at the first error. */
static int script(void)
{
    static const uint32_t sizes[] = {10, 700, 1, 3000, 90, 12000, 450, 20000};
    int rc = ERR_OK;

    m.cut_to = UINT64_MAX;
    rc = m.begun ? ERR_OK : reset_to(BEGIN);
    for (int round = 0; round < 3 && rc == ERR_OK; round++) {
        rc = save_meta();
        for (size_t i = 0; i < 16 && rc == ERR_OK; i++) {
            rc = append(sizes[i % 8]);
            if (rc == ERR_OK && i % 3 == 0) {
                rc = flush();
            }
            if (rc == ERR_OK && i % 4 == 1) {
                rc = mark_idle();
            }
        }
        if (rc == ERR_OK) {
            rc = flush();
        }
        if (rc == ERR_OK && round > 0) {
            rc = trim_to(m.flushed - 60000);
        }
        if (rc == ERR_OK && round < 2) {
            rc = truncate_to(m.end - (round == 0 ? 20000 + 450 : 20000 + 450 + 12000 + 90 + 3000));
        }
    }
    return rc == ERR_OK ? reset_to(m.end + 1000) : rc;
}

/* An undisturbed run: everything is there, before and after closing it. */
START_TEST(undisturbed)
{
    model_begin();
    ck_assert_int_eq(reopen(), ERR_OK);
    ck_assert(state().empty);
    ck_assert_int_eq(append(1), ERR_STATE);
    ck_assert_int_eq(script(), ERR_OK);
    for (int i = 0; i < 60; i++) {
        ck_assert_int_eq(append(1000 + (uint32_t)i), ERR_OK);
        ck_assert_int_eq(flush(), ERR_OK);
    }
    check_bytes(1);
    check_bytes(100000);
    store_close(m.store);
    ck_assert_int_eq(reopen(), ERR_OK);
    check_reopened();
    ck_assert_uint_eq(m.end, m.begin + 60 * 1000 + 59 * 60 / 2);
    ck_assert_uint_eq(state().unit_off, m.end);
    ck_assert_uint_gt(state().commit, 0);
    model_end();
}
END_TEST

static uint64_t count_script_ops(void)
{
    model_begin();
    ck_assert_int_eq(reopen(), ERR_OK);
    uint64_t before = fake_disk_ops(m.disk);
    ck_assert_int_eq(script(), ERR_OK);
    uint64_t ops = fake_disk_ops(m.disk) - before;
    model_end();
    return ops;
}

/* The power goes at every operation of the disk, and comes back with different sectors each time.
 * Then the log goes on as if nothing had been. */
START_TEST(power_failure_everywhere)
{
    uint64_t ops = count_script_ops();

    for (uint64_t op = 0; op < ops; op++) {
        for (unsigned seed = 0; seed < 3; seed++) {
            model_begin();
            ck_assert_int_eq(reopen(), ERR_OK);
            fake_disk_die_at(m.disk, fake_disk_ops(m.disk) + op);
            ck_assert_int_eq(script(), ERR_IO);
            ck_assert(store_errored(m.store));
            store_close(m.store);
            fake_disk_crash(m.disk, seed == 0 ? FAKE_DISK_LOSE_ALL : FAKE_DISK_LOSE_SOME,
                            op * 7 + seed);
            ck_assert_msg(reopen() == ERR_OK, "op %llu seed %u", (unsigned long long)op, seed);
            check_reopened();
            if (m.begun) {
                ck_assert_int_eq(append(100), ERR_OK);
                ck_assert_int_eq(flush(), ERR_OK);
            }
            model_end();
        }
    }
}
END_TEST

/* The power goes again while the log is being opened: nothing that an earlier opening has vouched
 * for is lost. */
START_TEST(power_failure_while_opening)
{
    uint64_t ops = count_script_ops();

    for (uint64_t op = 3; op < ops; op += 11) {
        for (uint64_t again = 0; again < 40; again++) {
            model_begin();
            ck_assert_int_eq(reopen(), ERR_OK);
            fake_disk_die_at(m.disk, fake_disk_ops(m.disk) + op);
            ck_assert_int_eq(script(), ERR_IO);
            store_close(m.store);
            m.store = NULL;
            fake_disk_crash(m.disk, FAKE_DISK_LOSE_SOME, op + again);
            fake_disk_die_at(m.disk, fake_disk_ops(m.disk) + again);
            if (reopen() == ERR_OK) {
                store_close(m.store);
                m.store = NULL;
            }
            fake_disk_crash(m.disk, FAKE_DISK_LOSE_SOME, op * 3 + again);
            ck_assert_int_eq(reopen(), ERR_OK);
            check_reopened();
            model_end();
        }
    }
}
END_TEST

/* One operation of the disk fails, at every operation: the store is dead from there on. The process
 * starts again on the same machine, whose cache shows what the disk may not have; what is then
 * vouched for survives a power failure. */
START_TEST(error_everywhere)
{
    uint64_t ops = count_script_ops();

    for (uint64_t op = 0; op < 2 * ops; op++) {
        model_begin();
        fake_disk_set_buffered(m.disk, op % 2 == 1);
        ck_assert_int_eq(reopen(), ERR_OK);
        fake_disk_fail_at(m.disk, fake_disk_ops(m.disk) + op / 2);
        ck_assert_int_eq(script(), ERR_IO);
        ck_assert(store_errored(m.store));
        ck_assert_int_eq(m.st->ops->flush(m.st), ERR_IO);
        ck_assert_int_eq(m.st->ops->meta_save(m.st, "x", 1), ERR_IO);
        ck_assert_int_eq(m.st->ops->truncate(m.st, m.begin), ERR_IO);
        ck_assert_int_eq(m.st->ops->reset(m.st, 1, 0), ERR_IO);
        ck_assert_int_eq(mark_idle(), ERR_IO);
        store_close(m.store);
        fake_disk_crash(m.disk, FAKE_DISK_KEEP_ALL, 0);
        ck_assert_msg(reopen() == ERR_OK, "op %llu", (unsigned long long)op);
        check_reopened();
        store_close(m.store);
        fake_disk_crash(m.disk, FAKE_DISK_LOSE_ALL, 0);
        ck_assert_int_eq(reopen(), ERR_OK);
        check_reopened();
        model_end();
    }
}
END_TEST

/* One operation fails while a log is begun or opened. The process starts again on the same machine,
 * finds names that the disk may not have, and promises; a power failure takes nothing of it back.
 */
START_TEST(error_while_opening)
{
    for (int begun = 0; begun < 2; begun++) {
        for (uint64_t op = 0, failed = 1; failed > 0; op++) {
            model_begin();
            if (begun != 0) {
                ck_assert_int_eq(reopen(), ERR_OK);
                ck_assert_int_eq(reset_to(BEGIN), ERR_OK);
                store_close(m.store);
                fake_disk_crash(m.disk, FAKE_DISK_KEEP_ALL, 0);
            }
            fake_disk_fail_at(m.disk, fake_disk_ops(m.disk) + op);
            failed = reopen() != ERR_OK;
            if (failed > 0) {
                fake_disk_crash(m.disk, FAKE_DISK_KEEP_ALL, 0);
                ck_assert_msg(reopen() == ERR_OK, "op %llu", (unsigned long long)op);
            }
            fake_disk_fail_at(m.disk, 0);
            ck_assert_int_eq(save_meta(), ERR_OK);
            store_close(m.store);
            m.store = NULL;
            fake_disk_crash(m.disk, FAKE_DISK_LOSE_ALL, 0);
            ck_assert_msg(reopen() == ERR_OK, "op %llu", (unsigned long long)op);
            check_reopened();
            ck_assert_uint_eq(m.meta_promised, 1);
            model_end();
        }
    }
}
END_TEST

/* Any flipped bit of any segment: the log is refused, or says "uncertain", or the damaged part is
 * refused when it is read; wrong bytes are never handed out, and a shorter log is never passed off
 * as whole. */
START_TEST(rot_everywhere)
{
    struct buf b = BUF_INIT;
    char path[64];
    size_t size;
    const char *files[2] = {"first", "last"};

    for (int which = 0; which < 2; which++) {
        for (size_t at = 0; at < SEGMENT; at += which == 0 ? 173 : 61) {
            model_begin();
            ck_assert_int_eq(reopen(), ERR_OK);
            ck_assert_int_eq(reset_to(BEGIN), ERR_OK);
            for (int i = 0; i < 40; i++) {
                ck_assert_int_eq(append(1900), ERR_OK);
                ck_assert_int_eq(i % 2 ? flush() : ERR_OK, ERR_OK);
            }
            store_close(m.store);
            m.store = NULL;
            if (which == 0) {
                (void)snprintf(path, sizeof path, "d/log/seg-%020d.log", BEGIN);
            } else {
                (void)snprintf(path, sizeof path, "%s", fake_disk_last(m.disk, "d/log/seg-"));
            }
            fake_disk_bytes(m.disk, path, &size)[at] ^= 0x08;
            fake_disk_settle(m.disk, path);
            int rc = reopen();
            ck_assert_msg(rc == ERR_OK || rc == ERR_CORRUPT, "%s %zu", files[which], at);
            if (rc == ERR_OK) {
                struct storage_state s = state();
                ck_assert_msg(s.flush_off == m.end || s.uncertain_to > s.flush_off, "%s %zu",
                              files[which], at);
                for (uint64_t from = s.begin; from < s.flush_off; from += 1900) {
                    buf_clear(&b);
                    rc = m.st->ops->read(m.st, from, 1, &b);
                    ck_assert(rc == ERR_OK || rc == ERR_CORRUPT);
                    ck_assert(rc != ERR_OK || memcmp(buf_head(&b) + RECORD_HEADER_BYTES,
                                                     m.bytes + (from - BEGIN), 1900) == 0);
                }
            }
            model_end();
        }
    }
    buf_release(&b);
}
END_TEST

/* What was written and acknowledged together with a damaged record is lost with it. */
START_TEST(uncertain_of_the_whole_batch)
{
    size_t size;

    model_begin();
    ck_assert_int_eq(reopen(), ERR_OK);
    ck_assert_int_eq(reset_to(BEGIN), ERR_OK);
    ck_assert_int_eq(append(100), ERR_OK);
    ck_assert_int_eq(flush(), ERR_OK);
    ck_assert_int_eq(append(300), ERR_OK);
    ck_assert_int_eq(append(2000), ERR_OK);
    ck_assert_int_eq(append(200), ERR_OK);
    ck_assert_int_eq(flush(), ERR_OK);
    store_close(m.store);
    const char *path = fake_disk_last(m.disk, "d/log/seg-");
    fake_disk_bytes(m.disk, path, &size)[2 * SEGMENT_BLOCK_BYTES + 100] ^= 1;
    fake_disk_settle(m.disk, path);
    ck_assert_int_eq(reopen(), ERR_OK);
    ck_assert_uint_eq(state().flush_off, BEGIN + 100);
    ck_assert_uint_ge(state().uncertain_to, BEGIN + 2600);
    model_end();
}
END_TEST

/* A record that is full of zeros and has rotted is not taken for one that was never written whole:
 * it counts the sectors that are zero. */
START_TEST(rot_beside_zeros)
{
    size_t size;

    for (uint32_t len = 700; len < 6000; len += 301) {
        model_begin();
        ck_assert_int_eq(reopen(), ERR_OK);
        ck_assert_int_eq(reset_to(BEGIN), ERR_OK);
        zeros = len - 200;
        ck_assert_int_eq(append(len), ERR_OK);
        ck_assert_int_eq(append(len), ERR_OK);
        zeros = 0;
        ck_assert_int_eq(flush(), ERR_OK);
        store_close(m.store);
        const char *path = fake_disk_last(m.disk, "d/log/seg-");
        size_t second = (RECORD_HEADER_BYTES + len + 7) & ~(size_t)7;
        fake_disk_bytes(m.disk, path,
                        &size)[SEGMENT_BLOCK_BYTES + second + RECORD_HEADER_BYTES + 50] ^= 1;
        fake_disk_settle(m.disk, path);
        ck_assert_int_eq(reopen(), ERR_OK);
        ck_assert_uint_eq(state().flush_off, BEGIN + len);
        ck_assert_uint_ge(state().uncertain_to, BEGIN + 2 * len);
        model_end();
    }
}
END_TEST

/* Nor is one of them that was never written whole taken for a rotten one: the power fails while it
 * is written, and the node is certain of what it has. */
START_TEST(torn_zeros)
{
    for (unsigned seed = 0; seed < 300; seed++) {
        model_begin();
        ck_assert_int_eq(reopen(), ERR_OK);
        ck_assert_int_eq(reset_to(BEGIN), ERR_OK);
        ck_assert_int_eq(append(100), ERR_OK);
        ck_assert_int_eq(flush(), ERR_OK);
        zeros = 2500;
        ck_assert_int_eq(append(3000 + seed % 7 * 200), ERR_OK);
        ck_assert_int_eq(append(3000), ERR_OK);
        zeros = 0;
        fake_disk_die_at(m.disk, fake_disk_ops(m.disk) + seed % 2);
        ck_assert_int_eq(flush(), ERR_IO);
        store_close(m.store);
        fake_disk_crash(m.disk, FAKE_DISK_LOSE_SOME, seed);
        ck_assert_int_eq(reopen(), ERR_OK);
        m.cut_to = UINT64_MAX;
        check_reopened();
        model_end();
    }
}
END_TEST

/* A damaged last record leaves the node uncertain, also after it was started again, until the log
 * is cut there by a leader; then it is whole again. */
START_TEST(uncertain_until_cut)
{
    size_t size;

    model_begin();
    ck_assert_int_eq(reopen(), ERR_OK);
    ck_assert_int_eq(reset_to(BEGIN), ERR_OK);
    ck_assert_int_eq(append(100), ERR_OK);
    ck_assert_int_eq(flush(), ERR_OK);
    ck_assert_int_eq(append(300), ERR_OK);
    ck_assert_int_eq(flush(), ERR_OK);
    store_close(m.store);
    const char *path = fake_disk_last(m.disk, "d/log/seg-");
    fake_disk_bytes(m.disk, path, &size)[2 * SEGMENT_BLOCK_BYTES + 100] ^= 1;
    fake_disk_settle(m.disk, path);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(reopen(), ERR_OK);
        ck_assert_uint_eq(state().flush_off, BEGIN + 100);
        ck_assert_uint_eq(state().uncertain_to, BEGIN + 400);
        store_close(m.store);
    }
    ck_assert_int_eq(reopen(), ERR_OK);
    ck_assert_int_eq(m.st->ops->truncate(m.st, BEGIN + 100), ERR_OK);
    ck_assert_uint_eq(state().uncertain_to, 0);
    store_close(m.store);
    ck_assert_int_eq(reopen(), ERR_OK);
    ck_assert_uint_eq(state().uncertain_to, 0);
    m.end = m.flushed = BEGIN + 100;
    ck_assert_int_eq(append(300), ERR_OK);
    ck_assert_int_eq(flush(), ERR_OK);
    check_bytes(1000);
    model_end();
}
END_TEST

int main(void)
{
    unit_hush();
    return UNIT_RUN_FOR("store_crash", NULL, NULL, 120, undisturbed, power_failure_everywhere,
                        power_failure_while_opening, error_everywhere, error_while_opening,
                        rot_everywhere, uncertain_of_the_whole_batch, rot_beside_zeros, torn_zeros,
                        uncertain_until_cut);
}
