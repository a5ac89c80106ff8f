#include "tests/differ/values.h"

#include <stdio.h>
#include <string.h>

bool values_chance(struct random *r, unsigned percent)
{
    return random_below(r, 100) < percent;
}

const char *values_pick(struct random *r, const char *const *list)
{
    size_t count = 0;
    while (list[count] != NULL) {
        count++;
    }
    return list[random_below(r, count)];
}

void values_key(struct random *r, char type, struct step *s)
{
    static const char binary[] = {'k', 0, '\r', '\n', (char)0xff, '*'};
    char key[320];
    uint64_t kind = random_below(r, 100);

    if (kind < 1) {
        step_word(s, "", 0);
    } else if (kind < 2) {
        step_word(s, binary, sizeof binary);
    } else if (kind < 3) {
        memset(key, 'k', 300);
        step_word(s, key, 300);
    } else if (kind < 7) {
        step_str(s, PICK(r, "none", "{tag}a", "{tag}b", "nobody"));
    } else {
        if (type == 0 || kind < 14) {
            type = VALUES_TYPES[random_below(r, sizeof VALUES_TYPES - 1)];
        }
        /* The first ones more often. */
        uint64_t most = values_chance(r, 50) ? 2 : 4;
        (void)snprintf(key, sizeof key, "%c%d", type, (int)random_below(r, most));
        step_str(s, key);
    }
}

void values_lex_key(struct random *r, struct step *s)
{
    step_str(s, PICK(r, "e0", "e1", "e2"));
}

void values_corner(struct random *r, struct step *s)
{
    static const char bytes[] = {1, 0, (char)0x80, (char)0xff, '\r', '\n'};
    char text[200];

    switch (random_below(r, 10)) {
    case 0:
        step_word(s, "", 0);
        break;
    case 1:
        step_word(s, bytes, sizeof bytes);
        break;
    case 2:
        memset(text, 'x', sizeof text);
        step_word(s, text, sizeof text);
        break;
    case 3:
    case 4:
        step_str(s, PICK(r, "9223372036854775807", "-9223372036854775808", "9223372036854775808",
                         "-9223372036854775809", "18446744073709551615", "18446744073709551616",
                         "4294967296", "1e400", "-1", "0"));
        break;
    case 5:
        step_str(s, PICK(r, "inf", "-inf", "+inf", "nan", "-nan", "-0", "-0.0", "+0", "0x10", "1e5",
                         "1.7976931348623157e308", "5e-324", " 1", "1 ", "01", "1.0", ".5", "3.",
                         "infinity", "1_0"));
        break;
    case 6:
        step_str(s, PICK(r, "*", "$", "+", "-", ">", "(", "[", "(1", "[a", "(inf", "[", "?", "-1-1",
                         "0-0", "1-", "-", "18446744073709551615-18446744073709551615"));
        break;
    case 7:
        step_str(s, PICK(r, "NX", "XX", "GET", "LIMIT", "COUNT", "STORE", "WITHSCORES", "EX",
                         "KEYS", "BLOCK", "ASYNC", "MATCH", "BY", "nosort"));
        break;
    case 8:
        step_str(s, PICK(r, "\"", "'", "\\", "a b", "{", "%s%n", "\xc3\xa4", "\t", "a\r\nb"));
        break;
    default:
        step_str(s, PICK(r, "2", "7", "-5", "-100", "3.25", "abc", "10"));
    }
}

void values_member(struct random *r, struct step *s)
{
    static const char *const members[] = {"a", "b",  "c", "d",  "e",    "f",      "1",  "2", "3",
                                          "4", "10", "",  "-1", "long", "bigger", "zz", NULL};
    if (values_chance(r, 4)) {
        values_corner(r, s);
    } else {
        step_str(s, values_chance(r, 40) ? PICK(r, "a", "b", "c", "1") : values_pick(r, members));
    }
}

void values_value(struct random *r, struct step *s)
{
    uint64_t kind = random_below(r, 20);

    if (kind < 8) {
        values_member(r, s);
    } else if (kind < 12) {
        step_number(s, (long long)random_below(r, 1000));
    } else if (kind < 14) {
        values_corner(r, s);
    } else if (kind < 15) {
        char text[700];
        size_t len = random_below(r, sizeof text);
        memset(text, (int)('A' + random_below(r, 26)), sizeof text);
        step_word(s, text, len);
    } else {
        char text[32];
        (void)snprintf(text, sizeof text, "v%d", (int)random_below(r, 100));
        step_str(s, text);
    }
}

void values_small(struct random *r, struct step *s)
{
    if (values_chance(r, 8)) {
        values_corner(r, s);
    } else {
        step_number(s, (long long)random_below(r, 8) - (values_chance(r, 25) ? 4 : 0));
    }
}

void values_integer(struct random *r, struct step *s)
{
    if (values_chance(r, 10)) {
        values_corner(r, s);
    } else {
        step_number(s, (long long)random_below(r, 120) - 20);
    }
}

void values_double(struct random *r, struct step *s)
{
    char text[64];

    if (values_chance(r, 10)) {
        values_corner(r, s);
        return;
    }
    double d = (double)random_below(r, 2000) / 8.0 - 100;
    (void)snprintf(text, sizeof text, values_chance(r, 50) ? "%.0f" : "%.4g", d);
    step_str(s, text);
}

void values_seconds(struct random *r, struct step *s, bool absolute)
{
    long long from = absolute ? 4000000000 : 1000000;

    if (values_chance(r, 6)) {
        step_str(s, PICK(r, "-1", "0", "9223372036854775807", "-9223372036854775808", "abc", "",
                         "9223372036854776", "1.5"));
        return;
    }
    step_number(s, from + (long long)random_below(r, 1000) * 1000);
}

void values_milliseconds(struct random *r, struct step *s, bool absolute)
{
    long long from = absolute ? 4000000000000 : 1000000000;

    if (values_chance(r, 6)) {
        step_str(
            s, PICK(r, "-1", "0", "9223372036854775807", "-9223372036854775808", "abc", "", "1.5"));
        return;
    }
    step_number(s, from + (long long)random_below(r, 1000) * 1000000);
}

void values_channel(struct random *r, struct step *s)
{
    step_str(s, PICK(r, "ch1", "ch2", "news.a", "news.b", "c", "", "__keyspace@0__:s0"));
}

void values_pattern(struct random *r, struct step *s)
{
    step_str(s, PICK(r, "*", "ch*", "news.?", "[cd]*", "", "s?", "*0", "h[0-2]", "\\*", "[^s]*",
                     "[", "**", "k*"));
}

void values_stream_id(struct random *r, struct step *s)
{
    char text[64];

    if (values_chance(r, 12)) {
        step_str(s, PICK(r, "-", "+", "$", ">", "*", "0", "0-0", "(", "(5", "(1-1", "0-*",
                         "18446744073709551615-18446744073709551615", "abc", "1-", "-1", ""));
        return;
    }
    unsigned ms = (unsigned)random_below(r, 40), seq = (unsigned)random_below(r, 4);
    (void)snprintf(text, sizeof text, values_chance(r, 30) ? "%u" : "%u-%u", ms, seq);
    step_str(s, text);
}

void values_database(struct random *r, struct step *s)
{
    if (values_chance(r, 10)) {
        step_str(s, PICK(r, "15", "16", "-1", "abc", "", "1.0", "9223372036854775807"));
        return;
    }
    step_number(s, (long long)random_below(r, 3));
}
