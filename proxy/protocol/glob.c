#include "proxy/protocol/glob.h"

/* Whether c is in the class that begins behind '['; *at is moved behind its ']'. As in Redis, a
 * class that is never closed ends with the pattern. */
static bool glob_in_class(const char *pattern, size_t len, size_t *at, char c)
{
    size_t i = *at;
    bool inverted = i < len && pattern[i] == '^', found = false;

    for (i += inverted; i < len && pattern[i] != ']'; i++) {
        if (pattern[i] == '\\' && len - i >= 2) {
            found |= pattern[++i] == c;
        } else if (len - i >= 3 && pattern[i + 1] == '-') {
            char low = pattern[i], high = pattern[i + 2];
            found |= low <= high ? c >= low && c <= high : c >= high && c <= low;
            i += 2;
        } else {
            found |= pattern[i] == c;
        }
    }
    *at = i < len ? i + 1 : len;
    return found != inverted;
}

/* Whether the character c is what the pattern says at *at, which is no '*'; *at is moved on. */
static bool glob_one(const char *pattern, size_t len, size_t *at, char c)
{
    switch (pattern[(*at)++]) {
    case '?':
        return true;
    case '[':
        return glob_in_class(pattern, len, at, c);
    case '\\':
        if (*at < len) {
            return pattern[(*at)++] == c;
        }
        return c == '\\';
    default:
        return pattern[*at - 1] == c;
    }
}

/* Only the last '*' needs to be tried with more: whatever an earlier one could take besides, the
 * last one can take as well. */
bool glob_match(const char *pattern, size_t pattern_len, const char *text, size_t text_len)
{
    size_t p = 0, t = 0, star_p = 0, star_t = 0;
    bool starred = false;

    if (text_len == 0) {
        return pattern_len == 0; /* not even "*" matches nothing in Redis */
    }
    while (t < text_len) {
        if (p < pattern_len && pattern[p] == '*') {
            starred = true;
            star_p = ++p;
            star_t = t;
        } else if (p < pattern_len && glob_one(pattern, pattern_len, &p, text[t])) {
            t++;
        } else if (starred) {
            p = star_p;
            t = ++star_t;
        } else {
            return false;
        }
    }
    while (p < pattern_len && pattern[p] == '*') {
        p++;
    }
    return p == pattern_len;
}
