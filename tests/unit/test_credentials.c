/* What our links and clients must say to Redis, when it is changed at run time. */
#include "proxy/clients/credentials.h"

#include "tests/lib/unit.h"

#include <string.h>

enum { WORDS_MAX = 16 };

static struct resp_arg words[WORDS_MAX];

/* The words, up to NULL; how many. */
static size_t say(const char *const *text)
{
    size_t count = 0;

    for (; text[count] != NULL; count++) {
        words[count] = (struct resp_arg){(const uint8_t *)text[count], strlen(text[count])};
    }
    return count;
}

static void in_config(const char *const *text, const char *expected)
{
    struct resp_arg password = {0};
    bool found = credentials_in_config(words, say(text), &password);

    ck_assert_int_eq(found, expected != NULL);
    if (found) {
        ck_assert_mem_eq(password.bytes, expected, strlen(expected));
        ck_assert_uint_eq(password.len, strlen(expected));
    }
}

static void in_acl(const char *const *text, const char *expected)
{
    struct resp_arg password = {0};
    bool found = credentials_in_acl(words, say(text), &password);

    ck_assert_int_eq(found, expected != NULL);
    if (found) {
        ck_assert_uint_eq(password.len, strlen(expected));
        if (password.len > 0) {
            ck_assert_mem_eq(password.bytes, expected, password.len);
        }
    }
}

/* requirepass is found among other parameters, in any case; what is no parameter's name is not. */
START_TEST(config)
{
    in_config((const char *[]){"CONFIG", "SET", "requirepass", "a b", NULL}, "a b");
    in_config((const char *[]){"CONFIG", "SET", "timeout", "1", "RequirePass", "", NULL}, "");
    in_config((const char *[]){"CONFIG", "SET", "masterauth", "requirepass", NULL}, NULL);
    in_config((const char *[]){"CONFIG", "SET", "masterauth", "requirepass", "timeout", "1", NULL},
              NULL);
    in_config((const char *[]){"CONFIG", "SET", "requirepass", NULL}, NULL);
}
END_TEST

/* The last password of those that are given counts, or that none is needed; not what is taken back
 * behind it. */
START_TEST(acl)
{
    in_acl((const char *[]){"ACL", "SETUSER", "u", "on", ">one", ">two", "+@all", NULL}, "two");
    in_acl((const char *[]){"ACL", "SETUSER", "u", ">one", "NoPass", NULL}, "");
    in_acl((const char *[]){"ACL", "SETUSER", "u", "nopass", ">one", NULL}, "one");
    in_acl((const char *[]){"ACL", "SETUSER", "u", "#0123", "<one", "resetpass", NULL}, NULL);
    in_acl((const char *[]){"ACL", "SETUSER", ">name", NULL}, NULL);
    in_acl((const char *[]){"ACL", "SETUSER", "u", "nopass", "ResetPass", NULL}, NULL);
    in_acl((const char *[]){"ACL", "SETUSER", "u", ">x", "resetpass", NULL}, NULL);
    in_acl((const char *[]){"ACL", "SETUSER", "u", ">x", "on", "reset", NULL}, NULL);
    in_acl((const char *[]){"ACL", "SETUSER", "u", ">x", "<x", NULL}, NULL);
    in_acl((const char *[]){"ACL", "SETUSER", "u", "nopass", "#0123", NULL}, NULL);
    in_acl((const char *[]){"ACL", "SETUSER", "u", "nopass", ">", NULL}, NULL);
    in_acl((const char *[]){"ACL", "SETUSER", "u", "resetpass", ">new", "<old", "#0123", NULL},
           "new");
    in_acl((const char *[]){"ACL", "SETUSER", "u", ">x", "reset", "nopass", NULL}, "");
}
END_TEST

/* One with a zero byte, or that is too long, can't be said by our links: it is not taken. */
START_TEST(unusable)
{
    static uint8_t longest[CREDENTIALS_BYTES_MAX + 1];
    struct resp_arg password = {0};
    struct credentials c;
    size_t count = say((const char *[]){"CONFIG", "SET", "requirepass", "x", NULL});

    memset(longest, 'x', sizeof longest);
    words[3] = (struct resp_arg){longest, CREDENTIALS_BYTES_MAX};
    ck_assert(credentials_in_config(words, count, &password));
    credentials_init(&c, "old");
    credentials_set(&c, &password);
    ck_assert_uint_eq(strlen(c.password), CREDENTIALS_BYTES_MAX);
    words[3].len++;
    ck_assert(!credentials_in_config(words, count, &password));
    words[3] = (struct resp_arg){(const uint8_t *)"a\0b", 3};
    ck_assert(!credentials_in_config(words, count, &password));
    credentials_set(&c, &words[3]);
    ck_assert_uint_eq(strlen(c.password), CREDENTIALS_BYTES_MAX);
}
END_TEST

/* What Redis has taken is in force. If it is refused, Redis was started anew, or the configured one
 * was tried first: links take turns with them, and clients have to say what one was accepted with.
 * Without another one there is nothing to try. */
START_TEST(refused)
{
    struct credentials c;
    struct resp_arg set = {(const uint8_t *)"new", 3};

    credentials_init(&c, NULL);
    ck_assert_str_eq(c.password, "");
    ck_assert(!credentials_refused(&c));
    credentials_init(&c, "old");
    ck_assert_str_eq(c.password, "old");
    ck_assert(!credentials_refused(&c));
    credentials_set(&c, &set);
    ck_assert_str_eq(c.password, "new");
    ck_assert_str_eq(c.link_password, "new");
    ck_assert(credentials_refused(&c));
    ck_assert_str_eq(c.link_password, "old");
    ck_assert_str_eq(c.password, "new");
    ck_assert(credentials_refused(&c));
    ck_assert_str_eq(c.link_password, "new");
    ck_assert(credentials_refused(&c));
    credentials_accepted(&c);
    ck_assert_str_eq(c.password, "old");
    ck_assert_str_eq(c.link_password, "old");
    ck_assert(credentials_refused(&c));
    credentials_accepted(&c);
    ck_assert_str_eq(c.password, "new");
    set = (struct resp_arg){(const uint8_t *)"old", 3};
    credentials_set(&c, &set);
    ck_assert_str_eq(c.password, "old");
    ck_assert(!credentials_refused(&c));
    set.len = 0;
    credentials_set(&c, &set);
    ck_assert_str_eq(c.password, "");
}
END_TEST

int main(void)
{
    return UNIT_RUN("credentials", NULL, NULL, config, acl, unusable, refused);
}
