/* Scripts and functions that CLIENT PAUSE … WRITE does not hold back. */
#include "proxy/clients/readers.h"

#include "tests/lib/unit.h"

#include <stdio.h>
#include <string.h>

static struct readers readers;

static struct resp_arg word(const char *text)
{
    return (struct resp_arg){(const uint8_t *)text, strlen(text)};
}

static bool says_so(const char *text)
{
    struct resp_arg script = word(text);
    return readers_says_so(&script);
}

/* Only the first line counts, only whole flags, and only what Redis takes for such a line. */
START_TEST(test_says_so)
{
    ck_assert(says_so("#!lua flags=no-writes\n"));
    ck_assert(says_so("#!lua flags=allow-oom,no-writes\nreturn 1"));
    ck_assert(says_so("#!lua  flags=allow-oom flags=no-writes,no-cluster\nreturn 1"));
    ck_assert(!says_so("#!lua flags=no-writes"));
    ck_assert(!says_so("#!lua x flags=no-writes\nreturn 1"));
    ck_assert(!says_so("#!lua flags=no-writes,nothing\nreturn 1"));
    ck_assert(!says_so("#!luaflags=no-writes\nreturn 1"));
    ck_assert(!says_so("#!js flags=no-writes\nreturn 1"));
    ck_assert(!says_so(" #!lua flags=no-writes\nreturn 1"));
    ck_assert(!says_so("#!lua flags=allow-oom\nreturn 1"));
    ck_assert(!says_so("#!lua flags=no-writesx\nreturn 1"));
    ck_assert(!says_so("#!lua flags=allow-oom x,no-writes\nreturn 1"));
    ck_assert(!says_so("#!lua\n flags=no-writes"));
    ck_assert(!says_so("return ' flags=no-writes'"));
    ck_assert(!says_so("#"));
    ck_assert(!says_so(""));
}
END_TEST

static bool have(const char *name, const char *what)
{
    struct command command = {.name = (char *)(uintptr_t)name};
    struct resp_arg argv[] = {word(name), word(what), word("0")};

    return readers_have(&readers, &command, argv, 3);
}

/* Names are known in any case, each for its own command, and functions until they are named anew.
 */
START_TEST(test_have)
{
    static const char sha[] = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db";

    ck_assert(!have("evalsha", sha) && !have("fcall", "f"));
    readers_add_script(&readers, sha, 40);
    readers_add_script(&readers, "short", 5);
    readers_add_function(&readers, "Reads");
    readers_add_function(&readers, "f");
    ck_assert(have("evalsha", sha));
    ck_assert(have("evalsha_ro", sha) && !have("eval_ro", sha));
    ck_assert(have("evalsha", "E0E1F9FABFC9D4800C877A703B823AC0578FF8DB"));
    ck_assert(!have("eval", sha) && !have("fcall", sha) && !have("evalsha", "f"));
    ck_assert(!have("evalsha", "short"));
    ck_assert(have("fcall", "reads") && have("fcall", "F"));
    ck_assert(have("fcall_ro", "reads") && !have("fcall_ro", "read"));
    ck_assert(!have("fcall", "read") && !have("fcall", ""));
    readers_begin(&readers);
    ck_assert(!have("fcall", "f") && have("evalsha", sha));
    readers_release(&readers);
    ck_assert(!have("evalsha", sha));
}
END_TEST

/* Functions are known for one pause: from what was asked since it began, not before. */
START_TEST(test_pauses)
{
    readers_begin(&readers);
    ck_assert(readers.wanted);
    readers_asked(&readers);
    ck_assert(!readers.wanted);
    readers_begin(&readers); /* the next pause, before the answer */
    ck_assert(!readers_answered(&readers));
    readers_asked(&readers);
    ck_assert(readers_answered(&readers));
    readers_add_function(&readers, "f");
    ck_assert(have("fcall", "f"));
    readers_begin(&readers);
    ck_assert(readers.wanted && !have("fcall", "f"));
    readers_asked(&readers);
    readers_begin(&readers);
    readers_asked(&readers);
    ck_assert(!readers_answered(&readers));
    ck_assert(readers_answered(&readers));
    readers_release(&readers);
}
END_TEST

/* The newest READERS_SCRIPTS_MAX are kept. */
START_TEST(test_bound)
{
    char sha[64];

    for (int i = 0; i < READERS_SCRIPTS_MAX + 2; i++) {
        (void)snprintf(sha, sizeof sha, "%040d", i);
        readers_add_script(&readers, sha, 40);
        readers_add_script(&readers, sha, 40);
    }
    ck_assert_uint_eq(readers.scripts.len, READERS_SCRIPTS_MAX * (READERS_SHA_BYTES + 1));
    for (int i = 0; i < READERS_SCRIPTS_MAX + 2; i++) {
        (void)snprintf(sha, sizeof sha, "%040d", i);
        ck_assert_int_eq(have("evalsha", sha), i >= 2);
    }
    readers_release(&readers);
}
END_TEST

int main(void)
{
    return UNIT_RUN("readers", NULL, NULL, test_says_so, test_have, test_pauses, test_bound);
}
