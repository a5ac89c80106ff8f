/* Patterns match as Redis' do. */
#include "proxy/protocol/glob.h"
#include "tests/lib/unit.h"

#include <string.h>

static const struct {
    const char *pattern, *text;
    bool matches;
} cases[] = {
    {"", "", true},
    {"", "a", false},
    {"*", "", false},
    {"", "", true},
    {"*", "anything", true},
    {"a*", "a", true},
    {"a*c", "abc", true},
    {"a*c", "abcd", false},
    {"a*b*c", "aXbYbZc", true},
    {"a**c", "ac", true},
    {"?", "", false},
    {"?", "x", true},
    {"h?llo", "hello", true},
    {"h[ae]llo", "hallo", true},
    {"h[ae]llo", "hillo", false},
    {"h[^e]llo", "hallo", true},
    {"h[^e]llo", "hello", false},
    {"h[a-c]llo", "hbllo", true},
    {"h[c-a]llo", "hbllo", true},
    {"h[a-c]llo", "hdllo", false},
    {"[\\]]", "]", true},
    {"[\\^a]", "^", true},
    {"[]", "]", false},
    {"[a", "a", true},
    {"[", "a", false},
    {"[a-", "-", true},
    {"\\*", "*", true},
    {"\\*", "x", false},
    {"a\\", "a\\", true},
    {"*switch-master", "+switch-master", true},
    {"[-+]sdown", "-sdown", true},
    {"[-+]sdown", "+sdown", true},
    {"[-+]sdown", "+odown", false},
    {"*a*b", "aaaaaaaaaab", true},
    {"*[a]?", "baax", true},
};

/* Each case as above; the answers are those that redis-server 7.0.15 gives to KEYS. */
START_TEST(matches_as_redis_does)
{
    const char *pattern = cases[_i].pattern, *text = cases[_i].text;
    bool matches = glob_match(pattern, strlen(pattern), text, strlen(text));

    ck_assert_msg(matches == cases[_i].matches, "%s with %s", pattern, text);
}
END_TEST

/* Many stars and no match: done before anybody notices. */
START_TEST(stars_are_cheap)
{
    char pattern[200], text[4001];

    for (size_t i = 0; i < sizeof pattern; i += 2) {
        memcpy(pattern + i, "*a", 2);
    }
    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = 'b';
    ck_assert(!glob_match(pattern, sizeof pattern, text, sizeof text));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("glob");
    TCase *tc = tcase_create("glob");

    tcase_add_loop_test(tc, matches_as_redis_does, 0, (int)(sizeof cases / sizeof *cases));
    tcase_add_test(tc, stars_are_cheap);
    suite_add_tcase(suite, tc);
    return unit_main(suite);
}
