#include "proxy/snapshot/room.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

enum { ROOM_TEXT_BYTES = 8192, ROOM_PATH_MAX = 1024 };

uint64_t room_parse_meminfo(const char *text)
{
    const char *at = strstr(text, "MemAvailable:");
    uint64_t kib;

    if (at == NULL || (at != text && at[-1] != '\n') ||
        sscanf(at, "MemAvailable: %" SCNu64 " kB", &kib) != 1 || kib > UINT64_MAX / 1024) {
        return ROOM_UNKNOWN;
    }
    return kib * 1024;
}

uint64_t room_parse_limit(const char *limit, uint64_t used, uint64_t cache)
{
    char *end;

    if (limit[0] < '0' || limit[0] > '9') {
        return ROOM_UNKNOWN;
    }
    uint64_t max = strtoull(limit, &end, 10);
    if (*end != '\0' && *end != '\n') {
        return ROOM_UNKNOWN;
    }
    uint64_t kept = used > cache ? used - cache : 0;
    return max > kept ? max - kept : 0;
}

/* The whole of a small file, as a text; false: it can't be had. */
static bool room_read(const char *path, char text[ROOM_TEXT_BYTES])
{
    FILE *f = fopen(path, "re");

    if (f == NULL) {
        return false;
    }
    size_t len = fread(text, 1, ROOM_TEXT_BYTES - 1, f);
    text[len] = '\0';
    (void)fclose(f);
    return len > 0;
}

/* A file of the own control group (of version 2), as a text. */
static bool room_read_group(const char *name, char text[ROOM_TEXT_BYTES])
{
    char path[ROOM_PATH_MAX];

    if (!room_read("/proc/self/cgroup", text)) {
        return false;
    }
    const char *group = strstr(text, "0::/");
    if (group == NULL || (group != text && group[-1] != '\n')) {
        return false;
    }
    int len = (int)strcspn(group + 3, "\n");
    int n = snprintf(path, sizeof path, "/sys/fs/cgroup%.*s/%s", len, group + 3, name);
    return n > 0 && (size_t)n < sizeof path && room_read(path, text);
}

static uint64_t room_of_group(void)
{
    char limit[ROOM_TEXT_BYTES], text[ROOM_TEXT_BYTES];
    uint64_t used, cache = 0;

    if (!room_read_group("memory.max", limit) || !room_read_group("memory.current", text)) {
        return ROOM_UNKNOWN;
    }
    used = strtoull(text, NULL, 10);
    if (room_read_group("memory.stat", text)) {
        const char *at = strstr(text, "\ninactive_file ");
        cache = at != NULL ? strtoull(at + strlen("\ninactive_file "), NULL, 10) : 0;
    }
    return room_parse_limit(limit, used, cache);
}

void room_look(const char *folder, struct room *out)
{
    char text[ROOM_TEXT_BYTES];
    struct statvfs fs;

    out->memory_bytes = room_read("/proc/meminfo", text) ? room_parse_meminfo(text) : ROOM_UNKNOWN;
    uint64_t group = room_of_group();
    out->memory_bytes = group < out->memory_bytes ? group : out->memory_bytes;
    out->disk_bytes =
        statvfs(folder, &fs) == 0 ? (uint64_t)fs.f_bavail * fs.f_frsize : ROOM_UNKNOWN;
}

bool room_is_enough(const struct room *room, uint64_t rdb_bytes, uint64_t memory_reserve_bytes,
                    char why[ROOM_WHY_MAX])
{
    uint64_t memory = memory_reserve_bytes + rdb_bytes;

    memory = memory < rdb_bytes ? UINT64_MAX - 1 : memory;
    if (memory_reserve_bytes > 0 && room->memory_bytes < memory) {
        (void)snprintf(why, ROOM_WHY_MAX,
                       "%" PRIu64 " MiB of memory are available on this machine: too little for a "
                       "dataset of %" PRIu64 " MiB and snapshot.memory_reserve_bytes (%" PRIu64
                       " MiB)",
                       room->memory_bytes >> 20, rdb_bytes >> 20, memory_reserve_bytes >> 20);
        return false;
    }
    if (room->disk_bytes < rdb_bytes) {
        (void)snprintf(why, ROOM_WHY_MAX,
                       "%" PRIu64 " MiB are free in data_dir: too little for a snapshot of about "
                       "%" PRIu64 " MiB",
                       room->disk_bytes >> 20, rdb_bytes >> 20);
        return false;
    }
    return true;
}
