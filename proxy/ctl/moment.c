#include "proxy/ctl/moment.h"

#include "common/clock.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { MOMENT_MS_PER_S = 1000, MOMENT_S_PER_DAY = 86400, MOMENT_DIGITS_MAX = 19 };
enum { MOMENT_YEAR_MIN = 1970, MOMENT_YEAR_MAX = 9999 };

/* The wall clock's fields, and where the parser stands. */
struct moment_fields {
    int year, month, day, hour, minute, second, ms;
};

static const char moment_not_a_time[] =
    "not an offset or a time (2026-11-22T14:02:00Z, @1795352520, \"5 minutes ago\", 14:02)";

/* Exactly `count` digits (or, count 0, one or more) as a number; false: they are not there. */
static bool moment_digits(const char **at, unsigned count, uint64_t *out)
{
    unsigned n = 0;

    for (*out = 0; (*at)[n] >= '0' && (*at)[n] <= '9' && n < MOMENT_DIGITS_MAX; n++) {
        *out = *out * 10 + (uint64_t)((*at)[n] - '0');
        if (n + 1 == count) {
            *at += count;
            return true;
        }
    }
    bool more = (*at)[n] >= '0' && (*at)[n] <= '9';
    *at += n;
    return count == 0 && n > 0 && !more;
}

static bool moment_field(const char **at, unsigned count, char before, int *out)
{
    uint64_t n;

    if (before != '\0' && *(*at)++ != before) {
        (*at)--;
        return false;
    }
    if (!moment_digits(at, count, &n)) {
        return false;
    }
    *out = (int)n;
    return true;
}

/* ".250" in milliseconds, cut; nothing is 0. */
static bool moment_fraction(const char **at, int *ms)
{
    int scale = 100;

    *ms = 0;
    if (**at != '.' && **at != ',') {
        return true;
    }
    (*at)++;
    if (**at < '0' || **at > '9') {
        return false;
    }
    for (; **at >= '0' && **at <= '9'; (*at)++, scale /= 10) {
        *ms += (**at - '0') * scale;
    }
    return true;
}

/* "14:02", "14:02:30", "14:02:30.5". A leap second counts as the one after it. */
static bool moment_clock(const char **at, struct moment_fields *f)
{
    if (!moment_field(at, 2, '\0', &f->hour) || !moment_field(at, 2, ':', &f->minute)) {
        return false;
    }
    if (**at == ':' && (!moment_field(at, 2, ':', &f->second) || !moment_fraction(at, &f->ms))) {
        return false;
    }
    return f->hour < 24 && f->minute < 60 && f->second <= 60;
}

static bool moment_date(const char **at, struct moment_fields *f)
{
    static const int days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    if (!moment_field(at, 4, '\0', &f->year) || !moment_field(at, 2, '-', &f->month) ||
        !moment_field(at, 2, '-', &f->day)) {
        return false;
    }
    bool leap = (f->year % 4 == 0 && f->year % 100 != 0) || f->year % 400 == 0;
    return f->year >= MOMENT_YEAR_MIN && f->year <= MOMENT_YEAR_MAX && f->month >= 1 &&
           f->month <= 12 && f->day >= 1 && f->day <= days[f->month - 1] &&
           (f->month != 2 || f->day < 29 || leap);
}

/* "Z", " UTC", "+01:00", "-0330"; false: something else. *given: whether there was one. */
static bool moment_zone(const char **at, bool *given, int *east_min)
{
    int hours, minutes;

    *given = true;
    *east_min = 0;
    *at += strspn(*at, " ");
    if (**at == '\0') {
        *given = false;
        return true;
    }
    if (strcasecmp(*at, "Z") == 0 || strcasecmp(*at, "UTC") == 0 || strcasecmp(*at, "GMT") == 0) {
        *at += strlen(*at);
        return true;
    }
    char sign = *(*at)++;
    if ((sign != '+' && sign != '-') || !moment_field(at, 2, '\0', &hours)) {
        return false;
    }
    *at += **at == ':';
    if (!moment_field(at, 2, '\0', &minutes) || hours > 23 || minutes > 59) {
        return false;
    }
    *east_min = (sign == '-' ? -1 : 1) * (hours * 60 + minutes);
    return true;
}

/* Days from 1970 to that day of the proleptic Gregorian calendar. */
static int64_t moment_days(int year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = y / 400, of_era = y - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static int moment_from_utc(const struct moment_fields *f, int east_min, struct moment *out,
                           const char **why)
{
    int64_t s = moment_days(f->year, f->month, f->day) * MOMENT_S_PER_DAY + f->hour * 3600 +
                f->minute * 60 + f->second - (int64_t)east_min * 60;

    if (s < 0) {
        *why = "a time before 1970";
        return ERR_INVALID;
    }
    out->wall_ms = (uint64_t)s * MOMENT_MS_PER_S + (uint64_t)f->ms;
    return ERR_OK;
}

static int moment_from_local(const struct moment_fields *f, struct moment *out, const char **why)
{
    struct tm tm = {.tm_year = f->year - 1900,
                    .tm_mon = f->month - 1,
                    .tm_mday = f->day,
                    .tm_hour = f->hour,
                    .tm_min = f->minute,
                    .tm_sec = f->second,
                    .tm_isdst = -1};
    time_t s = mktime(&tm);

    if (s < 0 || (f->second < 60 && (tm.tm_hour != f->hour || tm.tm_min != f->minute))) {
        *why = "no such time in the local zone; write it with one (Z, +01:00)";
        return ERR_INVALID;
    }
    out->wall_ms = (uint64_t)s * MOMENT_MS_PER_S + (uint64_t)f->ms;
    out->local = true;
    return ERR_OK;
}

/* "now" and "5 minutes ago". */
static bool moment_ago(const char *at, uint64_t now_ms, struct moment *out)
{
    static const struct {
        const char *name;
        uint64_t ms;
    } units[] = {
        {"s", 1000},       {"sec", 1000},       {"second", 1000},         {"m", 60000},
        {"min", 60000},    {"minute", 60000},   {"h", 3600000},           {"hour", 3600000},
        {"day", 86400000}, {"week", 604800000}, {"fortnight", 1209600000}};
    uint64_t n;

    if (strcasecmp(at, "now") == 0) {
        out->wall_ms = now_ms;
        return true;
    }
    if (!moment_digits(&at, 0, &n)) {
        return false;
    }
    at += strspn(at, " ");
    size_t len = strcspn(at, " ");
    const char *rest = at + len + strspn(at + len, " ");
    if (strcasecmp(rest, "ago") != 0) {
        return false;
    }
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        size_t name_len = strlen(units[i].name);
        bool same = strncasecmp(at, units[i].name, name_len) == 0 &&
                    (len == name_len || (len == name_len + 1 && (at[len - 1] | 32) == 's'));
        if (same && n <= now_ms / units[i].ms) {
            out->wall_ms = now_ms - n * units[i].ms;
            return true;
        }
    }
    return false;
}

/* "14:02", "today 14:02", "yesterday 14:02:30": the local day. */
static bool moment_day_word(const char **at, uint64_t now_ms, struct moment_fields *f)
{
    static const struct {
        const char *name;
        int days;
    } words[] = {{"today ", 0}, {"yesterday ", -1}, {"", 0}};
    struct tm tm;
    time_t now = (time_t)(now_ms / MOMENT_MS_PER_S);

    for (size_t i = 0;; i++) {
        size_t len = strlen(words[i].name);
        if (strncasecmp(*at, words[i].name, len) != 0) {
            continue;
        }
        *at += len;
        if (localtime_r(&now, &tm) == NULL) {
            return false;
        }
        tm.tm_mday += words[i].days;
        tm.tm_hour = 12; /* far from where the clocks are changed */
        tm.tm_isdst = -1;
        if (mktime(&tm) < 0) {
            return false;
        }
        *f = (struct moment_fields){
            .year = tm.tm_year + 1900, .month = tm.tm_mon + 1, .day = tm.tm_mday};
        return moment_clock(at, f);
    }
}

static int moment_parse_epoch(const char *at, struct moment *out)
{
    uint64_t s;
    int ms;

    if (!moment_digits(&at, 0, &s) || s > UINT64_MAX / MOMENT_MS_PER_S - 1 ||
        !moment_fraction(&at, &ms) || *at != '\0') {
        return ERR_INVALID;
    }
    out->wall_ms = s * MOMENT_MS_PER_S + (uint64_t)ms;
    return ERR_OK;
}

int moment_parse(const char *text, uint64_t now_ms, struct moment *out, const char **why)
{
    struct moment_fields f = {0};
    const char *at = text;
    bool given;
    int east_min;

    *out = (struct moment){0};
    *why = moment_not_a_time;
    if (moment_digits(&at, 0, &out->offset) && *at == '\0') {
        out->is_offset = true;
        return ERR_OK;
    }
    out->offset = 0;
    if (text[0] == '@') {
        return moment_parse_epoch(text + 1, out);
    }
    if (moment_ago(text, now_ms, out)) {
        return ERR_OK;
    }
    at = text;
    if (moment_date(&at, &f)) {
        if (*at != 'T' && *at != 't' && *at != ' ') {
            *why = "a day without a time of day";
            return ERR_INVALID;
        }
        at++;
        if (!moment_clock(&at, &f)) {
            return ERR_INVALID;
        }
    } else {
        at = text;
        f = (struct moment_fields){0};
        if (!moment_day_word(&at, now_ms, &f)) {
            return ERR_INVALID;
        }
    }
    if (!moment_zone(&at, &given, &east_min) || *at != '\0') {
        return ERR_INVALID;
    }
    return given ? moment_from_utc(&f, east_min, out, why) : moment_from_local(&f, out, why);
}

const char *moment_print(uint64_t wall_ms, char out[MOMENT_TEXT_BYTES])
{
    time_t s = (time_t)(wall_ms / MOMENT_MS_PER_S);
    struct tm tm;

    if (wall_ms > (uint64_t)253402300799999 || gmtime_r(&s, &tm) == NULL) {
        (void)snprintf(out, MOMENT_TEXT_BYTES, "@%llu.%03u",
                       (unsigned long long)(wall_ms / MOMENT_MS_PER_S),
                       (unsigned)(wall_ms % MOMENT_MS_PER_S));
        return out;
    }
    (void)snprintf(out, MOMENT_TEXT_BYTES, "%04d-%02d-%02dT%02d:%02d:%02d.%03uZ",
                   (tm.tm_year + 1900) % 10000, (tm.tm_mon + 1) % 100, tm.tm_mday % 100,
                   tm.tm_hour % 100, tm.tm_min % 100, tm.tm_sec % 100,
                   (unsigned)(wall_ms % MOMENT_MS_PER_S));
    return out;
}
