/* What a Redis was before a restore is read back from the text that it keeps. */
#include "proxy/ctl/target_mark.h"
#include "tests/lib/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void expect_back(bool empty, const char *a, const char *b, const char *c)
{
    struct target_mark m = {.empty = empty,
                            .settings = {(char *)(uintptr_t)a, (char *)(uintptr_t)b,
                                         (char *)(uintptr_t)c}},
                       again;
    struct buf text = BUF_INIT, line = BUF_INIT;

    target_mark_make_secret(&m, "9");
    target_mark_make_secret(&m, "0123");
    ck_assert_str_eq(m.secret, "holdfast-restore:0123");
    target_mark_print(&m, &text);
    for (int i = 0; i < 2; i++) {
        ck_assert(i == 0 ? target_mark_parse((const char *)buf_head(&text), &again)
                         : target_mark_parse_user((const char *)buf_head(&line), &again));
        ck_assert(again.empty == empty);
        ck_assert_str_eq(again.secret, m.secret);
        for (size_t k = 0; k < TARGET_SETTINGS; k++) {
            ck_assert_str_eq(again.settings[k], m.settings[k]);
        }
        target_mark_fini(&again);
        buf_clear(&line);
        buf_printf(&line, "user holdfast-restore off sanitize-payload ~%s resetchannels -@all",
                   (const char *)buf_head(&text));
        buf_append(&line, "", 1);
    }
    free(m.secret);
    buf_release(&text);
    buf_release(&line);
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
        ck_assert_ptr_null(m.secret);
    }
}
END_TEST

/* Nor is any other user, or ours without it. */
START_TEST(refuses_other_users)
{
    static const char *const lines[] = {
        "",
        "user default on nopass ~* &* +@all",
        "user holdfast-restore2 off ~holdfast-restore:0123:empty::: -@all",
        "user holdfast-restore off resetchannels -@all",
        "user holdfast-restore on ~other:* ~holdfast-restore:0123:empty::: -@all",
    };
    struct target_mark m;

    ck_assert(target_mark_parse_user("user holdfast-restore ~holdfast-restore:0:full:::", &m));
    ck_assert_str_eq(m.secret, "holdfast-restore:0");
    target_mark_fini(&m);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        ck_assert_msg(!target_mark_parse_user(lines[i], &m), "%s", lines[i]);
        ck_assert_ptr_null(m.secret);
        ck_assert(target_mark_is_user(lines[i]) == (i >= 3)); /* the operator's own, perhaps */
    }
}
END_TEST

/* What is offered as masterauth tells nothing of what was there before, and is known again. */
START_TEST(secret_tells_nothing)
{
    struct target_mark m;

    ck_assert(target_mark_parse("holdfast-restore:0123:empty:6d:6e:6f", &m));
    ck_assert_str_eq(m.secret, "holdfast-restore:0123");
    ck_assert(target_mark_is_secret(m.secret));
    ck_assert(!target_mark_is_secret("mine"));
    ck_assert(!target_mark_is_secret(""));
    target_mark_fini(&m);
}
END_TEST

/* Other restores are known by the names of their connections, and who came first by the ids; others
 * of other names don't matter, nor what stands in other places. */
START_TEST(who_else_is_there)
{
    static const char us[] = "id=7 addr=127.0.0.1:1 name=holdfast-restore age=1\n";
    static const struct {
        const char *clients;
        enum target_others others;
    } cases[] = {
        {"", TARGET_ALONE},
        {"id=3 addr=127.0.0.1:2 name= age=0\n", TARGET_ALONE},
        {"id=3 addr=127.0.0.1:2 name=holdfast-restore2 age=0\n", TARGET_ALONE},
        {"id=3 addr=127.0.0.1:2 name=holdfast-restor age=0\n", TARGET_ALONE},
        {"id=3 addr=127.0.0.1:2 name= user=holdfast-restore\n", TARGET_ALONE},
        {"a strange line name=holdfast-restore\n", TARGET_ALONE},
        {"id=3 addr=127.0.0.1:2 name=holdfast-restore age=0\n", TARGET_BEHIND_OTHERS},
        {"id=3 addr=127.0.0.1:2 name=holdfast-restore", TARGET_BEHIND_OTHERS},
        {"id=10 addr=127.0.0.1:2 name=holdfast-restore age=0\n", TARGET_BEFORE_OTHERS},
        {"id=3 addr=127.0.0.1:2 name=holdfast-restore age=0\n"
         "id=10 addr=127.0.0.1:3 name=holdfast-restore age=0\n",
         TARGET_BEHIND_OTHERS},
    };
    char text[400];

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        (void)snprintf(text, sizeof text, "%s%s", us, cases[i].clients);
        ck_assert_msg(target_mark_others(text, 7) == cases[i].others, "%s", text);
        if (strchr(cases[i].clients, '\n') != NULL) {
            (void)snprintf(text, sizeof text, "%s%s", cases[i].clients, us);
            ck_assert_msg(target_mark_others(text, 7) == cases[i].others, "%s", text);
        }
    }
}
END_TEST

int main(void)
{
    return UNIT_RUN("target_mark", NULL, NULL, reads_what_it_prints, refuses_others,
                    refuses_other_users, secret_tells_nothing, who_else_is_there);
}
