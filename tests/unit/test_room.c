/* Whether there is room for making a snapshot: what the kernel's texts say, and what is enough. */
#include "proxy/snapshot/room.h"

#include "tests/lib/unit.h"

#include <string.h>

enum { MIB = 1 << 20 };

/* Each row is a text as /proc/meminfo has it, or nearly. */
START_TEST(meminfo)
{
    static const struct {
        const char *text;
        uint64_t expected;
    } rows[] = {
        {"MemTotal:  24683640 kB\nMemFree: 22 kB\nMemAvailable:   23927812 kB\nBuffers: 1 kB\n",
         UINT64_C(23927812) * 1024},
        {"MemAvailable: 0 kB\n", 0},
        {"", ROOM_UNKNOWN},
        {"MemTotal: 1 kB\n", ROOM_UNKNOWN},
        {"NoMemAvailable: 1 kB\n", ROOM_UNKNOWN},
        {"MemAvailable: many kB\n", ROOM_UNKNOWN},
        {"MemAvailable: 18446744073709551615 kB\n", ROOM_UNKNOWN},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ck_assert_msg(room_parse_meminfo(rows[i].text) == rows[i].expected, "%s", rows[i].text);
    }
}
END_TEST

/* Of a control group's limit what is used is gone, but for cache; "max" is no limit. */
START_TEST(limit)
{
    ck_assert_uint_eq(room_parse_limit("1000\n", 300, 100), 800);
    ck_assert_uint_eq(room_parse_limit("1000", 1300, 100), 0);
    ck_assert_uint_eq(room_parse_limit("1000", 50, 100), 1000);
    ck_assert(room_parse_limit("max\n", 300, 100) == ROOM_UNKNOWN);
    ck_assert(room_parse_limit("", 300, 100) == ROOM_UNKNOWN);
    ck_assert(room_parse_limit("12x", 300, 100) == ROOM_UNKNOWN);
}
END_TEST

/* The dataset and the reserve have to fit into memory, the file onto the disk; what is not known,
 * or not to be asked, is enough; nothing wraps. What is lacking is said. */
START_TEST(enough)
{
    static const struct {
        uint64_t memory, disk, rdb, reserve;
        const char *lacks; /* NULL: nothing */
    } rows[] = {
        {300 * MIB, 200 * MIB, 200 * MIB, 100 * MIB, NULL},
        {300 * MIB - 1, 200 * MIB, 200 * MIB, 100 * MIB, "memory"},
        {300 * MIB, 200 * MIB - 1, 200 * MIB, 100 * MIB, "data_dir"},
        {0, 200 * MIB, 200 * MIB, 0, NULL},
        {ROOM_UNKNOWN, ROOM_UNKNOWN, UINT64_C(1) << 60, 1, NULL},
        {5, ROOM_UNKNOWN, UINT64_MAX - 2, 100, "memory"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct room room = {.memory_bytes = rows[i].memory, .disk_bytes = rows[i].disk};
        char why[ROOM_WHY_MAX] = "";
        bool is = room_is_enough(&room, rows[i].rdb, rows[i].reserve, why);
        ck_assert_msg(is == (rows[i].lacks == NULL), "row %zu: %s", i, why);
        ck_assert_msg(is || strstr(why, rows[i].lacks) != NULL, "row %zu: %s", i, why);
    }
}
END_TEST

/* This machine says something. */
START_TEST(here)
{
    struct room room;

    room_look("/", &room);
    ck_assert(room.memory_bytes > 0 && room.memory_bytes != ROOM_UNKNOWN);
    ck_assert(room.disk_bytes != ROOM_UNKNOWN);
    room_look("/no/such/folder", &room);
    ck_assert(room.disk_bytes == ROOM_UNKNOWN);
}
END_TEST

int main(void)
{
    return UNIT_RUN("room", NULL, NULL, meminfo, limit, enough, here);
}
