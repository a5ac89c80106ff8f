/* The two slots: what was promised is there after any crash, one rotten slot does no harm, two are
 * not guessed over. */
#include "logsvc/slots.h"

#include "tests/lib/fake_disk.h"
#include "tests/lib/unit.h"

#include <stdio.h>
#include <string.h>

#define FOLDER "d"

static int open_slots(struct fake_disk *f, struct slots *s)
{
    return slots_open(s, fake_disk(f), FOLDER);
}

static struct fake_disk *made(void)
{
    struct fake_disk *f = fake_disk_create();

    ck_assert_int_eq(slots_create(fake_disk(f), FOLDER), ERR_OK);
    ck_assert_int_eq(fake_disk(f)->ops->sync_folder(fake_disk(f), FOLDER), ERR_OK);
    return f;
}

enum { BODY_MAX_BYTES = 4000 };

/* The state numbered n, several sectors long, different in every one of them. */
static size_t body_of(unsigned n, char body[BODY_MAX_BYTES])
{
    size_t len = 2000 + n * 100;

    memset(body, 'a' + (int)(n % 26), len);
    body[snprintf(body, len, "state %u", n)] = ' ';
    return len;
}

static unsigned number_of(const struct slots *s)
{
    unsigned n = 0;
    char body[BODY_MAX_BYTES];

    if (s->version == 0) {
        return 0;
    }
    ck_assert_int_eq(sscanf((const char *)buf_head(&s->body), "state %u", &n), 1);
    ck_assert_uint_eq(s->body.len, body_of(n, body));
    ck_assert_mem_eq(buf_head(&s->body), body, s->body.len);
    return n;
}

/* What is saved is loaded, also after it grew and shrank. */
START_TEST(save_and_load)
{
    struct fake_disk *f = made();
    struct slots s;
    static uint8_t big[200000];

    ck_assert_int_eq(open_slots(f, &s), ERR_OK);
    ck_assert_uint_eq(s.version, 0);
    memset(big, 'x', sizeof big);
    ck_assert_int_eq(slots_save(&s, big, sizeof big), ERR_OK);
    slots_close(&s);
    ck_assert_int_eq(open_slots(f, &s), ERR_OK);
    ck_assert_uint_eq(s.body.len, sizeof big);
    ck_assert_int_eq(slots_save(&s, "small", 5), ERR_OK);
    slots_close(&s);
    ck_assert_int_eq(open_slots(f, &s), ERR_OK);
    ck_assert_uint_eq(s.version, 2);
    ck_assert_uint_eq(s.body.len, 5);
    ck_assert_int_eq(slots_save(&s, big, SLOTS_BODY_MAX_BYTES + 1), ERR_TOO_BIG);
    slots_close(&s);
    fake_disk_destroy(f);
}
END_TEST

/* The power goes, or one operation fails, at every operation: the state never goes back behind what
 * was promised, and never runs ahead of what was asked. */
START_TEST(crash_at_every_operation)
{
    for (unsigned op = 0; op < 40; op++) {
        for (unsigned seed = 0; seed < 24; seed++) {
            struct fake_disk *f = made();
            struct slots s;
            unsigned promised = 0, asked = 0;
            char body[BODY_MAX_BYTES];

            ck_assert_int_eq(open_slots(f, &s), ERR_OK);
            if (seed % 4 == 3) {
                fake_disk_fail_at(f, fake_disk_ops(f) + op);
            } else {
                fake_disk_die_at(f, fake_disk_ops(f) + op);
            }
            for (unsigned n = 1; n <= 8 && asked == promised; n++) {
                asked = n;
                if (slots_save(&s, body, body_of(n, body)) == ERR_OK) {
                    promised = n;
                }
            }
            slots_close(&s);
            fake_disk_crash(f, (enum fake_disk_loss)(seed % 3), seed);
            /* And again while it is being opened. */
            fake_disk_die_at(f, fake_disk_ops(f) + seed / 3 % 5);
            if (open_slots(f, &s) == ERR_OK) {
                slots_close(&s);
            }
            fake_disk_crash(f, FAKE_DISK_LOSE_SOME, seed + 100);
            ck_assert_int_eq(open_slots(f, &s), ERR_OK);
            unsigned n = number_of(&s);
            ck_assert(n == promised || n == asked);
            slots_close(&s);
            /* What has been loaded once was vouched for: it survives whatever comes. */
            fake_disk_crash(f, FAKE_DISK_LOSE_ALL, 0);
            ck_assert_int_eq(open_slots(f, &s), ERR_OK);
            ck_assert_uint_eq(number_of(&s), n);
            slots_close(&s);
            fake_disk_destroy(f);
        }
    }
}
END_TEST

/* Any flipped bit in one slot is repaired from the other; in both, the state is refused. */
START_TEST(rot)
{
    static const char *const paths[2] = {FOLDER "/meta-a", FOLDER "/meta-b"};
    char body[BODY_MAX_BYTES];
    size_t size, len = body_of(17, body);

    for (size_t at = 0; at < SLOTS_HEADER_BYTES + len; at += at < SLOTS_HEADER_BYTES ? 1 : 97) {
        for (int which = 0; which < 3; which++) {
            struct fake_disk *f = made();
            struct slots s;
            ck_assert_int_eq(open_slots(f, &s), ERR_OK);
            ck_assert_int_eq(slots_save(&s, body, len), ERR_OK);
            slots_close(&s);
            for (int i = 0; i < 2; i++) {
                if (which == i || which == 2) {
                    fake_disk_bytes(f, paths[i], &size)[at] ^= 0x20;
                    fake_disk_settle(f, paths[i]);
                }
            }
            int rc = open_slots(f, &s);
            ck_assert_int_eq(rc, which == 2 ? ERR_CORRUPT : ERR_OK);
            if (rc == ERR_OK) {
                ck_assert_uint_eq(number_of(&s), 17);
                slots_close(&s);
            }
            fake_disk_destroy(f);
        }
    }
}
END_TEST

/* One file gone is made again; both gone is said. */
START_TEST(missing)
{
    struct fake_disk *f = made();
    struct slots s;
    char body[BODY_MAX_BYTES];

    ck_assert_int_eq(open_slots(f, &s), ERR_OK);
    ck_assert_int_eq(slots_save(&s, body, body_of(3, body)), ERR_OK);
    slots_close(&s);
    ck_assert_int_eq(fake_disk_remove(f, FOLDER "/meta-a"), ERR_OK);
    ck_assert_int_eq(open_slots(f, &s), ERR_OK);
    ck_assert_uint_eq(number_of(&s), 3);
    slots_close(&s);
    fake_disk_crash(f, FAKE_DISK_LOSE_ALL, 0);
    ck_assert_int_eq(fake_disk_remove(f, FOLDER "/meta-b"), ERR_OK);
    ck_assert_int_eq(open_slots(f, &s), ERR_OK);
    ck_assert_uint_eq(number_of(&s), 3);
    slots_close(&s);
    ck_assert_int_eq(fake_disk_remove(f, FOLDER "/meta-a"), ERR_OK);
    ck_assert_int_eq(fake_disk_remove(f, FOLDER "/meta-b"), ERR_OK);
    ck_assert_int_eq(open_slots(f, &s), ERR_NOT_FOUND);
    fake_disk_destroy(f);
}
END_TEST

int main(void)
{
    unit_hush();
    return UNIT_RUN_FOR("slots", NULL, NULL, 60, save_and_load, crash_at_every_operation, rot,
                        missing);
}
