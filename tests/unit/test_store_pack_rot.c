/* Packing among rot: a segment that has rotted is not packed but mended first, whenever the rot
 * comes; one that is packed is mended like any other. What is handed out is right all along. */
#include "tests/lib/mend_case.h"

enum { STEP_BYTES = 3000 };

static void setup_packing(void)
{
    setup();
    pack_percent = 100; /* no file is smaller than the segments here: all that can be is done */
}

/* Packs for so many steps, or until nothing is left to do. */
static unsigned pack(const char *what, unsigned steps)
{
    struct storage_pack p = {0};
    unsigned packed = 0;

    for (unsigned i = 0; i < steps && !p.idle; i++) {
        ck_assert_msg(st->ops->pack(st, STEP_BYTES, &p) == ERR_OK, "%s", what);
        ck_assert_msg(!p.failed, "%s: packing failed", what);
        packed += p.packed;
    }
    return packed;
}

static unsigned all_steps(void)
{
    struct storage_pack p = {0};
    unsigned steps = 0;

    restore_files();
    ck_assert_int_eq(open_log(), ERR_OK);
    for (; !p.idle; steps++) {
        ck_assert_int_eq(st->ops->pack(st, STEP_BYTES, &p), ERR_OK);
    }
    close_log();
    return steps;
}

/* Damages the log after so many steps of packing; it is mended and packed, and so it is after a
 * restart. */
static void suffer(const char *what, unsigned steps, void (*damage)(void *arg), void *arg)
{
    restore_files();
    ck_assert_int_eq(open_log(), ERR_OK);
    (void)pack(what, steps);
    damage(arg);
    check_bytes(what, true);
    heal(what, true);
    check_whole(what);
    (void)pack(what, UINT32_MAX);
    heal(what, true);
    check_whole(what);
    ck_assert_msg(state().uncertain_to == 0, "%s: it becomes uncertain", what);
    close_log();
    ck_assert_msg(open_log() == ERR_OK, "%s: it is not opened again", what);
    ck_assert_msg(state().uncertain_to == 0 && state().flush_off == end, "%s: it has lost", what);
    heal(what, true);
    (void)pack(what, UINT32_MAX);
    check_whole(what);
    close_log();
}

/* A flipped bit here and there in closed segments, before they are packed, while they are, and
 * after it. */
START_TEST(flips)
{
    unsigned steps = all_steps();
    char what[160];

    for (size_t i = 0; i < file_count; i++) {
        for (size_t at = 0; is_closed_segment(i) && at < files[i].size; at += 1499) {
            struct flip f = {files[i].path, at, (uint8_t)(1u << at % 8)};
            unsigned step = (unsigned)(at * 7 / 3) % (steps + 1);
            (void)snprintf(what, sizeof what, "%.60s byte %zu after %u steps", files[i].path, at,
                           step);
            suffer(what, step, flip, &f);
        }
    }
}
END_TEST

static void spoil(void *arg)
{
    const struct flip *f = arg;

    ck_assert(fake_disk_spoil(disk, f->path, f->at));
}

/* A block that can't be read. */
START_TEST(unreadable_blocks)
{
    unsigned steps = all_steps();
    char what[160];

    for (size_t i = 0; i < file_count; i++) {
        for (size_t at = 0; is_closed_segment(i) && at < files[i].size; at += SEGMENT_BLOCK_BYTES) {
            struct flip f = {files[i].path, at, 0};
            unsigned step = (unsigned)(at / 5) % (steps + 1);
            (void)snprintf(what, sizeof what, "%.60s block at %zu after %u steps", files[i].path,
                           at, step);
            suffer(what, step, spoil, &f);
        }
    }
}
END_TEST

static void put_back(void *arg)
{
    size_t i = *(size_t *)arg;

    ck_assert_int_eq(fake_disk_remove(disk, files[i].path), ERR_OK);
    fake_disk_put(disk, files[i].path, files[i].bytes, files[i].size);
}

/* The file of before comes back over a packed one: nothing in it stands where it was said to. It is
 * whole, so it is found to be sound, read and packed again. */
START_TEST(an_older_file_comes_back)
{
    unsigned steps = all_steps();
    char what[160];

    for (size_t i = 0; i < file_count; i++) {
        for (unsigned step = 0; is_closed_segment(i) && step <= steps; step += 1 + step / 8) {
            (void)snprintf(what, sizeof what, "%.60s after %u steps", files[i].path, step);
            suffer(what, step, put_back, &i);
        }
    }
}
END_TEST

static void remove_file(void *arg)
{
    ck_assert_int_eq(fake_disk_remove(disk, arg), ERR_OK);
}

/* A file that is gone. */
START_TEST(gone)
{
    unsigned steps = all_steps();
    char what[160];

    for (size_t i = 0; i < file_count; i++) {
        for (unsigned step = 0; is_closed_segment(i) && step <= steps; step += 1 + step / 8) {
            (void)snprintf(what, sizeof what, "%.60s gone after %u steps", files[i].path, step);
            suffer(what, step, remove_file, files[i].path);
        }
    }
}
END_TEST

/* The old file rots when what stands there has been copied, and while it is looked at: it goes,
 * with its rot, and nothing was found. Then the new file rots, and that is found. */
START_TEST(rot_goes_with_the_old_file)
{
    size_t closed = 0;
    struct storage_check looked;

    for (size_t i = 0; i < file_count; i++) {
        closed += is_closed_segment(i);
    }
    for (unsigned steps = 2; steps < 6; steps++) {
        struct flip f = {segment_of(0), SEGMENT_BLOCK_BYTES + 70, 1};
        struct storage_pack p;
        size_t packed = 0;
        restore_files();
        ck_assert_int_eq(open_log(), ERR_OK);
        while (packed + 1 < closed) { /* the newest ones first */
            ck_assert_int_eq(st->ops->pack(st, STEP_BYTES, &p), ERR_OK);
            packed += p.packed;
        }
        ck_assert_uint_eq(pack("all but one", steps), 0);
        ck_assert_int_eq(st->ops->check(st, 1, &looked), ERR_OK);
        flip(&f);
        ck_assert_uint_eq(pack("the last", UINT32_MAX), 1);
        heal("the old file has rotted", true);
        ck_assert_uint_eq(state().holes.found, 0);
        check_whole("the old file had rotted");
        flip(&f);
        heal("the new file has rotted", true);
        ck_assert_uint_eq(state().holes.found, 1);
        check_whole("the new file had rotted");
        close_log();
    }
}
END_TEST

/* A rotten segment is left alone, byte for byte, as long as nobody has what it has lost. */
START_TEST(rotten_ones_stay)
{
    char what[160];
    unsigned stayed = 0;
    size_t size;

    for (size_t at = SEGMENT_BLOCK_BYTES + 10; at < SEGMENT; at += 997) {
        struct flip f = {segment_of(1), at, 4};
        (void)snprintf(what, sizeof what, "byte %zu", at);
        restore_files();
        flip(&f);
        ck_assert_int_eq(open_log(), ERR_OK);
        const uint8_t *found = fake_disk_bytes(disk, f.path, &size);
        uint8_t *before = mem_alloc(size);
        memcpy(before, found, size);
        size_t had = size;
        unsigned files_packed = pack(what, UINT32_MAX);
        heal(what, false);
        (void)pack(what, UINT32_MAX);
        found = fake_disk_bytes(disk, f.path, &size);
        ck_assert_msg(files_packed > 0, "%s: the others are not packed", what);
        if (state().holes.count > 0) { /* else it was in nobody's bytes, or an idle mark's */
            ck_assert_msg(size == had && memcmp(found, before, had) == 0, "%s: it changed", what);
            stayed++;
        }
        heal(what, true);
        check_whole(what);
        free(before);
        close_log();
    }
    ck_assert_uint_gt(stayed, 10);
}
END_TEST

int main(void)
{
    return UNIT_RUN_FOR("store_pack_rot", setup_packing, teardown, 240, flips, unreadable_blocks,
                        an_older_file_comes_back, gone, rot_goes_with_the_old_file,
                        rotten_ones_stay);
}
