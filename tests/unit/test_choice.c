/* What a run of the snapshotter does, by what the log nodes list. */
#include "proxy/snapshot/choice.h"
#include "tests/lib/unit.h"

enum { MEMBERS = 7 };

static struct catalogue_entry entries[CATALOGUE_ENTRIES_MAX];
static struct catalogue_view list;

/* As many snapshots as a node holds, from 6400 down, on the first node; the two newest on all. */
static void setup(void)
{
    list = (struct catalogue_view){.count = SNAPINFO_LIST_MAX, .entries = entries};
    for (unsigned i = 0; i < SNAPINFO_LIST_MAX; i++) {
        entries[i] = (struct catalogue_entry){
            .info = {.offset = 100 * (SNAPINFO_LIST_MAX - i)}, .on = i < 2 ? 7 : 1, .counts = 1};
    }
}

/* Another one is made if something was committed since, and enough members would take it. */
START_TEST(taking)
{
    ck_assert_int_eq(choice_take(&list, &entries[0], MEMBERS, 6400), CHOICE_IS_THERE);
    ck_assert_int_eq(choice_take(&list, &entries[0], MEMBERS, 6401), CHOICE_GO_ON);
    ck_assert_int_eq(choice_take(&list, &entries[1], MEMBERS, 6301), CHOICE_GO_ON);
    for (unsigned i = 2; i < SNAPINFO_LIST_MAX; i++) {
        entries[i].on = 3;
    }
    ck_assert_int_eq(choice_take(&list, &entries[0], MEMBERS, 6401), CHOICE_LISTS_ARE_FULL);
    ck_assert_int_eq(choice_take(&list, &entries[0], MEMBERS, 6400), CHOICE_IS_THERE);
    entries[63].on = 1;
    ck_assert_int_eq(choice_take(&list, &entries[0], MEMBERS, 6401), CHOICE_GO_ON);
    for (unsigned i = 0; i < SNAPINFO_LIST_MAX; i++) {
        entries[i].on = 1 << 9; /* one that is no member is full of them, whatever that matters */
    }
    ck_assert_int_eq(choice_take(&list, &entries[0], MEMBERS, 6401), CHOICE_GO_ON);
    list.count = 0;
    ck_assert_int_eq(choice_take(&list, NULL, MEMBERS, 1), CHOICE_GO_ON);
}
END_TEST

/* The one that is tried is compared with what is made from an older one that counts, where the
 * next one is. */
START_TEST(verifying)
{
    struct choice_trial trial;

    list.count = 4;
    ck_assert_int_eq(choice_verify(&list, 6250, &trial), CHOICE_NO_SUCH);
    ck_assert_ptr_null(trial.entry);
    ck_assert_int_eq(choice_verify(&list, 6200, &trial), CHOICE_GO_ON);
    ck_assert_ptr_eq(trial.entry, &entries[2]);
    ck_assert(!trial.alone);
    ck_assert_uint_eq(trial.on_to, 6300);
    ck_assert_int_eq(choice_verify(&list, 6400, &trial), CHOICE_GO_ON);
    ck_assert_uint_eq(trial.on_to, 0);
    ck_assert(!trial.alone);
    entries[3].counts = 0;
    ck_assert_int_eq(choice_verify(&list, 6200, &trial), CHOICE_GO_ON);
    ck_assert(trial.alone);
    ck_assert_int_eq(choice_verify(&list, 6100, &trial), CHOICE_DOES_NOT_COUNT);
    ck_assert_ptr_eq(trial.entry, &entries[3]);
    ck_assert(trial.alone);
}
END_TEST

int main(void)
{
    return UNIT_RUN("choice", setup, NULL, taking, verifying);
}
