/* The search for the last commit at or before a time, against looking at every record. */
#include "common/random.h"
#include "proxy/ctl/seek.h"
#include "tests/lib/unit.h"

enum { RECORDS_MAX = 200, LOGS = 300 };

struct log {
    size_t count;
    struct record records[RECORDS_MAX];
    uint64_t begin, end;
};

/* Wall times that never fall, with many equal ones; some records are parts of a unit. */
static void log_make(struct log *log, struct random *random)
{
    uint64_t wall_ms = 1000 + random_below(random, 10);

    log->count = random_below(random, RECORDS_MAX);
    log->begin = log->end = random_below(random, 2) * 777;
    for (size_t i = 0; i < log->count; i++) {
        bool last = i + 1 == log->count;
        wall_ms += random_below(random, 3) == 0 ? random_below(random, 20) : 0;
        log->records[i] =
            (struct record){.begin = log->end,
                            .len_bytes = (uint32_t)(1 + random_below(random, 5000)),
                            .flags = last || random_below(random, 4) > 0 ? RECORD_UNIT_END : 0,
                            .wall_ms = wall_ms};
        log->end = record_end(&log->records[i]);
    }
}

static const struct record *log_at(const struct log *log, uint64_t offset)
{
    for (size_t i = 0; i < log->count; i++) {
        if (record_end(&log->records[i]) > offset) {
            ck_assert_uint_le(log->records[i].begin, offset);
            return &log->records[i];
        }
    }
    ck_abort_msg("a record behind the end was wanted");
}

/* How many records are at or before the time, back to the end of a unit. */
static size_t log_count_to(const struct log *log, uint64_t wall_ms)
{
    size_t n = 0;

    while (n < log->count && log->records[n].wall_ms <= wall_ms) {
        n++;
    }
    while (n > 0 && (log->records[n - 1].flags & RECORD_UNIT_END) == 0) {
        n--;
    }
    return n;
}

START_TEST(finds_what_a_walk_finds)
{
    struct random random;
    struct log log;
    struct seek seek;
    uint64_t wanted;

    random_init(&random, (uint64_t)_i);
    log_make(&log, &random);
    for (uint64_t wall_ms = 990; wall_ms < 1400; wall_ms += 1 + random_below(&random, 7)) {
        unsigned asked = 0;
        seek_start(&seek, log.begin, log.end, wall_ms);
        while (seek_wants(&seek, &wanted)) {
            ck_assert_int_eq(seek_take(&seek, log_at(&log, wanted)), ERR_OK);
            asked++;
        }
        size_t n = log_count_to(&log, wall_ms);
        ck_assert_uint_eq(seek_offset(&seek), n > 0 ? record_end(&log.records[n - 1]) : log.begin);
        ck_assert((seek_before(&seek) != NULL) == (n > 0));
        ck_assert(n == 0 || seek_before(&seek)->begin == log.records[n - 1].begin);
        ck_assert((seek_behind(&seek) != NULL) == (n < log.count));
        ck_assert(n == log.count || seek_behind(&seek)->begin == log.records[n].begin);
        ck_assert_uint_le(asked, 40);
    }
}
END_TEST

/* With clocks that went back, what is found is still a place as the header says. */
START_TEST(clocks_that_went_back)
{
    struct random random;
    struct log log;
    struct seek seek;
    uint64_t wanted;

    random_init(&random, (uint64_t)_i);
    log_make(&log, &random);
    for (size_t i = 0; i < log.count; i++) {
        log.records[i].flags = RECORD_UNIT_END;
        log.records[i].wall_ms = 1000 + random_below(&random, 100);
    }
    seek_start(&seek, log.begin, log.end, 1050);
    while (seek_wants(&seek, &wanted)) {
        ck_assert_int_eq(seek_take(&seek, log_at(&log, wanted)), ERR_OK);
    }
    const struct record *before = seek_before(&seek), *behind = seek_behind(&seek);
    ck_assert(before != NULL || seek_offset(&seek) == log.begin);
    ck_assert(before == NULL ||
              (before->wall_ms <= 1050 && record_end(before) == seek_offset(&seek)));
    ck_assert(behind != NULL || seek_offset(&seek) == log.end);
    ck_assert(behind == NULL || (behind->wall_ms > 1050 && behind->begin == seek_offset(&seek)));
}
END_TEST

/* A record that is not the one that was asked for is refused. */
START_TEST(refuses_another_record)
{
    struct seek seek;
    struct record r = {.begin = 100, .len_bytes = 10};
    uint64_t wanted;

    seek_start(&seek, 0, 90, 5);
    ck_assert(seek_wants(&seek, &wanted));
    ck_assert_int_eq(seek_take(&seek, &r), ERR_CORRUPT);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("seek");
    TCase *tc = tcase_create("seek");

    tcase_add_loop_test(tc, finds_what_a_walk_finds, 0, LOGS);
    tcase_add_loop_test(tc, clocks_that_went_back, 0, LOGS);
    tcase_add_test(tc, refuses_another_record);
    suite_add_tcase(suite, tc);
    return unit_main(suite);
}
