/* Histories: where two logs part, and what a log's last term is. */
#include "logsvc/history.h"

#include "tests/lib/unit.h"

#include <string.h>

static struct replid replid_of(char c)
{
    struct replid r;
    memset(r.hex, c, sizeof r.hex);
    return r;
}

/* A history from pairs of term and begin, ended by term 0. */
static struct history make(const uint64_t *pairs)
{
    struct history h = {0};

    for (; pairs[0] != 0; pairs += 2) {
        struct replid r = replid_of((char)('a' + pairs[0] % 20));
        ck_assert_int_eq(history_append(&h, (struct log_term){pairs[0]}, pairs[1], &r), ERR_OK);
    }
    return h;
}
#define MAKE(...) make((const uint64_t[]){__VA_ARGS__, 0})

/* Terms rise strictly, begins never fall; anything else is refused and changes nothing. */
START_TEST(append_keeps_order)
{
    struct history h = MAKE(2, 100, 5, 100, 6, 300);
    struct replid r = replid_of('x');

    ck_assert_int_eq(history_append(&h, (struct log_term){6}, 400, &r), ERR_INVALID);
    ck_assert_int_eq(history_append(&h, (struct log_term){5}, 400, &r), ERR_INVALID);
    ck_assert_int_eq(history_append(&h, (struct log_term){7}, 299, &r), ERR_INVALID);
    ck_assert_int_eq(history_append(&h, (struct log_term){0}, 400, &r), ERR_INVALID);
    ck_assert_uint_eq(h.count, 3);
    ck_assert_int_eq(history_append(&h, (struct log_term){7}, 300, &r), ERR_OK);
}
END_TEST

/* The last term of a log is that of the last entry that begins at or below its end. */
START_TEST(last_term_counts_the_border)
{
    struct history h = MAKE(2, 100, 5, 200, 6, 200, 9, 300);

    ck_assert_uint_eq(history_last_term(&h, 99).n, 0);
    ck_assert_uint_eq(history_last_term(&h, 100).n, 2);
    ck_assert_uint_eq(history_last_term(&h, 199).n, 2);
    ck_assert_uint_eq(history_last_term(&h, 200).n, 6);
    ck_assert_uint_eq(history_last_term(&h, 299).n, 6);
    ck_assert_uint_eq(history_last_term(&h, 300).n, 9);
    ck_assert_ptr_null(history_at(&h, 99));
    ck_assert_ptr_eq(history_find(&h, (struct log_term){5}), &h.entries[1]);
    ck_assert_ptr_null(history_find(&h, (struct log_term){7}));
}
END_TEST

/* A stretch ends where the next term begins, also if that one is empty. */
START_TEST(stretch_has_an_end)
{
    struct history h = MAKE(2, 100, 5, 200, 6, 200);
    uint64_t end;

    ck_assert_uint_eq(history_stretch(&h, 150, &end)->term.n, 2);
    ck_assert_uint_eq(end, 200);
    ck_assert_uint_eq(history_stretch(&h, 200, &end)->term.n, 6);
    ck_assert_uint_eq(end, UINT64_MAX);
}
END_TEST

START_TEST(cut_forgets_what_begins_behind)
{
    struct history h = MAKE(2, 100, 5, 200, 9, 300);

    history_cut(&h, 200);
    ck_assert_uint_eq(h.count, 2);
    history_cut(&h, 199);
    ck_assert_uint_eq(h.count, 1);
    history_cut(&h, 0);
    ck_assert_uint_eq(h.count, 0);
}
END_TEST

static uint64_t common(const struct history *p, const struct history *a, uint64_t end)
{
    uint64_t at = 12345;

    ck_assert_int_eq(history_common(p, a, end, &at), ERR_OK);
    return at;
}

/* Each way in which two logs can part (LOG 1.4). */
START_TEST(common_point)
{
    struct history leader = MAKE(1, 0, 3, 100, 7, 250);
    struct history behind = MAKE(1, 0, 3, 100), other = MAKE(1, 0, 2, 80, 4, 90);
    struct history same = MAKE(1, 0, 3, 100, 7, 250), wrote_on = MAKE(1, 0, 3, 100, 4, 260);
    struct history ahead = MAKE(1, 0, 3, 100, 7, 250, 8, 270), none = MAKE(2, 0, 4, 50);
    struct history wrong = MAKE(1, 0, 3, 101);
    uint64_t at;

    ck_assert_uint_eq(common(&leader, &behind, 180), 180);   /* lags in a common term */
    ck_assert_uint_eq(common(&leader, &behind, 250), 250);   /* ends where the new term begins */
    ck_assert_uint_eq(common(&leader, &behind, 400), 250);   /* wrote what never was committed */
    ck_assert_uint_eq(common(&leader, &other, 500), 80);     /* went another way early */
    ck_assert_uint_eq(common(&leader, &same, 300), 300);     /* the leader comes again */
    ck_assert_uint_eq(common(&leader, &wrote_on, 300), 250); /* its old term ended later */
    ck_assert_uint_eq(common(&leader, &ahead, 300), 270);
    ck_assert_uint_eq(common(&leader, &same, 150), 150); /* told of a term it has no bytes of */
    ck_assert_int_eq(history_common(&leader, &none, 60, &at), ERR_NOT_FOUND);
    ck_assert_int_eq(history_common(&leader, &wrong, 150, &at), ERR_CORRUPT);
}
END_TEST

/* A full history forgets its oldest entries; comparing still works by the newer ones. */
START_TEST(bounded)
{
    struct history h = {0}, old = {0};
    struct replid r = replid_of('r');
    uint64_t at;

    for (uint64_t t = 1; t <= HISTORY_ENTRIES_MAX + 10; t++) {
        ck_assert_int_eq(history_append(&h, (struct log_term){t}, t * 10, &r), ERR_OK);
        if (t <= 5) {
            old = h;
        }
    }
    ck_assert_uint_eq(h.count, HISTORY_ENTRIES_MAX);
    ck_assert_uint_eq(h.entries[0].term.n, 11);
    ck_assert_int_eq(history_common(&h, &old, 55, &at), ERR_NOT_FOUND);
}
END_TEST

/* With room for fewer entries it does the same sooner. */
START_TEST(room_for_few)
{
    struct history h = MAKE(1, 100, 2, 200, 3, 200, 4, 300);

    history_make_room(&h, 4,
                      300); /* the term 4 has written nothing yet, if the next begins there */
    ck_assert_uint_eq(h.count, 3);
    ck_assert_uint_eq(h.entries[1].term.n, 3);
    history_make_room(&h, 4, 400);
    ck_assert_uint_eq(h.count, 3);
    history_make_room(&h, 1, 400);
    ck_assert_uint_eq(h.count, 0);
}
END_TEST

/* Elections in which nothing was written cost a full history nothing that it knows of bytes. */
START_TEST(forgets_empty_terms_first)
{
    struct history h = MAKE(1, 100, 2, 100, 3, 200), here = MAKE(1, 100, 3, 200, 5, 300);
    struct replid r = replid_of('r');
    uint64_t at;

    for (uint64_t t = 4; t <= 3 * HISTORY_ENTRIES_MAX; t++) {
        ck_assert_int_eq(history_append(&h, (struct log_term){t}, 300, &r), ERR_OK);
        ck_assert_uint_eq(history_last_term(&h, 300).n, t);
    }
    ck_assert_uint_eq(h.count, HISTORY_ENTRIES_MAX);
    ck_assert_uint_eq(h.entries[0].term.n, 1);
    ck_assert_uint_eq(history_last_term(&h, 150).n, 2);
    ck_assert_uint_eq(history_last_term(&h, 250).n, 3);
    ck_assert_int_eq(history_common(&h, &here, 400, &at), ERR_OK);
    ck_assert_uint_eq(at, 300); /* what term 5 wrote there alone is not ours */
}
END_TEST

/* What is encoded is decoded; no cut or lengthened encoding is taken. */
START_TEST(encoding)
{
    struct history h = MAKE(2, 100, 5, 200, 6, 200), back;
    struct buf bytes = BUF_INIT;

    history_encode(&h, &bytes);
    ck_assert_int_eq(history_decode(buf_head(&bytes), bytes.len, &back), ERR_OK);
    ck_assert(history_equal(&h, &back));
    for (size_t size = 0; size < bytes.len; size++) {
        ck_assert_int_eq(history_decode(buf_head(&bytes), size, &back), ERR_CORRUPT);
    }
    buf_append(&bytes, "x", 1);
    ck_assert_int_eq(history_decode(buf_head(&bytes), bytes.len, &back), ERR_CORRUPT);
    buf_truncate(&bytes, bytes.len - 1);
    uint8_t *head = buf_head(&bytes);
    head[2] = 9; /* terms no longer rise */
    ck_assert_int_eq(history_decode(buf_head(&bytes), bytes.len, &back), ERR_CORRUPT);
    buf_release(&bytes);
}
END_TEST

int main(void)
{
    return UNIT_RUN("history", NULL, NULL, append_keeps_order, last_term_counts_the_border,
                    stretch_has_an_end, cut_forgets_what_begins_behind, common_point, bounded,
                    room_for_few, forgets_empty_terms_first, encoding);
}
