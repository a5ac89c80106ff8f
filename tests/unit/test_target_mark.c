/* What a Redis was before a restore is read back from the text that it keeps. */
#include "proxy/ctl/target_mark.h"
#include "tests/lib/unit.h"

#include <string.h>

static void expect_back(bool empty, const char *a, const char *b, const char *c)
{
    struct target_mark m = {.empty = empty,
                            .settings = {(char *)(uintptr_t)a, (char *)(uintptr_t)b,
                                         (char *)(uintptr_t)c}},
                       again;
    struct buf text = BUF_INIT;

    target_mark_print(&m, "0123", &text);
    ck_assert(target_mark_parse((const char *)buf_head(&text), &again));
    ck_assert(again.empty == empty);
    for (size_t i = 0; i < TARGET_SETTINGS; i++) {
        ck_assert_str_eq(again.settings[i], m.settings[i]);
    }
    target_mark_fini(&again);
    buf_release(&text);
}

/* Whatever the settings are, also with our own separators in them, or none. */
START_TEST(reads_what_it_prints)
{
    expect_back(true, "", "", "yes");
    expect_back(false, "a:b c\xff\n", "holdfast-restore:x", "no");
}
END_TEST

/* Anything else, the operator's own password above all, is no mark. */
START_TEST(refuses_others)
{
    static const char *const texts[] = {
        "",
        "secret",
        "holdfast-restore:",
        "holdfast-restore:0123:empty::",
        "holdfast-restore:0123:empty:::7:",
        "holdfast-restore:0123:empty::0g:",
        "holdfast-restore:0123:empty::00:",
        "holdfast-restore:0123:empty::::",
        "xholdfast-restore:0123:empty:::",
    };
    struct target_mark m;

    ck_assert(target_mark_parse("holdfast-restore:0123:empty:::", &m));
    target_mark_fini(&m);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        ck_assert_msg(!target_mark_parse(texts[i], &m), "%s", texts[i]);
        ck_assert_ptr_null(m.settings[0]);
    }
}
END_TEST

int main(void)
{
    return UNIT_RUN("target_mark", NULL, NULL, reads_what_it_prints, refuses_others);
}
