/* The thread that packs, on a real disk: a log is appended to, read, cut and trimmed while it is at
 * work, and ended in the middle of it. */
#include "logsvc/store.h"

#include "common/clock.h"
#include "common/crc32c.h"
#include "tests/lib/unit.h"

#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { SEGMENT = 1024 * 1024, RECORD_BYTES = 500, BEGIN = 100, BYTES_MAX = 4 * 1024 * 1024 };
enum { PATIENCE_S = 60 };

static char folder[64];
static struct store *store;
static struct storage *st;
static uint8_t bytes[BYTES_MAX];
static uint64_t end;
static uint32_t chain;
static uint64_t term;
static struct disk *disk;

static void open_log(uint64_t bytes_per_s)
{
    char log[DISK_PATH_BYTES];
    struct store_config config = {
        .disk = disk,
        .folder = log,
        .cluster_id = {1, 2, 3},
        .node_id = "log1",
        .log_id = 9,
        .segment_bytes = SEGMENT,
        .pack_percent = 75,
        .pack_thread = true,
        .pack_bytes_per_s = bytes_per_s,
    };

    ck_assert_int_eq(disk_path(log, folder, "log"), ERR_OK);
    ck_assert_int_eq(store_open(&config, &store), ERR_OK);
    st = store_storage(store);
}

static void setup(void)
{
    unit_hush();
    disk = disk_posix();
    (void)snprintf(folder, sizeof folder, "packer-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    end = BEGIN;
    chain = 0;
    term = 1;
}

static int remove_one_cb(const char *path, const struct stat *info, int type, struct FTW *ftw)
{
    (void)info;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void teardown(void)
{
    store_close(store);
    store = NULL;
    ck_assert_int_eq(nftw(folder, remove_one_cb, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static void append(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        uint8_t *payload = bytes + (end - BEGIN);
        ck_assert_uint_lt(end - BEGIN + RECORD_BYTES, BYTES_MAX);
        for (unsigned k = 0; k < RECORD_BYTES; k++) {
            payload[k] = (uint8_t)(1 + (end + k * term) % 251);
        }
        chain = crc32c_extend(chain, payload, RECORD_BYTES);
        struct record r = {.term = {term},
                           .begin = end,
                           .len_bytes = RECORD_BYTES,
                           .flags = RECORD_UNIT_END,
                           .payload_crc = crc32c_extend(0, payload, RECORD_BYTES),
                           .chain_crc = chain};
        ck_assert_int_eq(st->ops->append(st, &r, payload), ERR_OK);
        ck_assert_int_eq(st->ops->flush(st), ERR_OK);
        end += RECORD_BYTES;
    }
}

static void check_bytes(size_t piece)
{
    struct storage_state s;
    struct buf b = BUF_INIT;
    struct record r;

    st->ops->state(st, &s);
    ck_assert_uint_eq(s.flush_off, end);
    ck_assert_uint_eq(s.chain_crc, chain);
    for (uint64_t at = s.begin; at < end;) {
        buf_clear(&b);
        ck_assert_int_eq(st->ops->read(st, at, piece, &b), ERR_OK);
        while (b.len > 0) {
            ck_assert_int_eq(record_decode_header(buf_head(&b), b.len, &r), ERR_OK);
            ck_assert_uint_eq(r.begin, at);
            ck_assert_mem_eq(buf_head(&b) + RECORD_HEADER_BYTES, bytes + (at - BEGIN), r.len_bytes);
            buf_consume(&b, RECORD_HEADER_BYTES + r.len_bytes);
            at = record_end(&r);
        }
    }
    buf_release(&b);
}

/* One look at how far the packer is. */
static bool pack_once(unsigned *files)
{
    struct storage_pack what;

    ck_assert_int_eq(st->ops->pack(st, 0, &what), ERR_OK);
    ck_assert(!what.failed);
    ck_assert_uint_eq(what.bytes, 0); /* the work is the thread's */
    *files += what.packed;
    return !what.idle;
}

static unsigned pack_all(void)
{
    uint64_t until = clock_now_ns() + PATIENCE_S * CLOCK_NS_PER_S;
    struct timespec pause = {.tv_nsec = 200000};
    unsigned files = 0;

    while (pack_once(&files)) {
        ck_assert_msg(clock_now_ns() < until, "it does not come to its end");
        (void)nanosleep(&pause, NULL);
    }
    return files;
}

static struct sizes {
    uint64_t segments; /* bytes */
    unsigned temporary;
} found;

static int add_size_cb(const char *path, const struct stat *info, int type, struct FTW *ftw)
{
    const char *name = path + ftw->base;

    if (type == FTW_F) {
        found.segments += strncmp(name, "seg-", 4) == 0 ? (uint64_t)info->st_size : 0;
        found.temporary += strcmp(name, "pack.tmp") == 0;
    }
    return 0;
}

static struct sizes sizes(void)
{
    found = (struct sizes){0};
    ck_assert_int_eq(nftw(folder, add_size_cb, 8, FTW_PHYS), 0);
    return found;
}

/* While a log is appended to and read, all closed segments become small. */
START_TEST(beside_the_log)
{
    unsigned files = 0;

    open_log(UINT64_MAX / CLOCK_NS_PER_S);
    ck_assert_int_eq(st->ops->reset(st, BEGIN, 0), ERR_OK);
    for (int i = 0; i < 60; i++) {
        append(20);
        (void)pack_once(&files);
        if (i % 10 == 9) {
            check_bytes(3000);
        }
    }
    files += pack_all();
    ck_assert_uint_ge(files, 3);
    check_bytes(1);
    check_bytes(1000000);
    ck_assert_uint_lt(sizes().segments, 2 * SEGMENT);
    ck_assert_uint_eq(sizes().temporary, 0);
    store_close(store);
    open_log(1000000000);
    check_bytes(3000);
    ck_assert_uint_eq(pack_all(), 0);
}
END_TEST

/* It ends at any time, and the log can be cut, trimmed and begun anew under it. */
START_TEST(in_the_middle)
{
    struct timespec pause = {0};
    unsigned files = 0;
    uint64_t begin = 0;

    for (unsigned i = 0; i < 12; i++) {
        open_log(i % 2 == 0 ? 4000000 : 1000000000);
        end = BEGIN;
        chain = 0;
        ck_assert_int_eq(st->ops->reset(st, BEGIN, 0), ERR_OK);
        append(700);
        (void)pack_once(&files);
        pause.tv_nsec = (long)i * 3000000;
        (void)nanosleep(&pause, NULL);
        (void)pack_once(&files);
        if (i % 4 == 0) {
            ck_assert_int_eq(st->ops->trim(st, end - 10 * RECORD_BYTES, &begin), ERR_OK);
        } else if (i % 4 == 1) {
            end = BEGIN + 100 * (uint64_t)RECORD_BYTES;
            ck_assert_int_eq(st->ops->truncate(st, end), ERR_OK);
            chain = crc32c_extend(0, bytes, end - BEGIN);
            term++;
            append(600);
        } else if (i % 4 == 2) {
            ck_assert_int_eq(st->ops->reset(st, BEGIN, 0), ERR_OK);
            end = BEGIN;
            chain = 0;
            append(600);
        }
        if (i % 3 != 0) {
            (void)pack_all();
            ck_assert_uint_eq(sizes().temporary, 0);
        }
        check_bytes(5000);
        store_close(store);
        open_log(1000000000);
        ck_assert_uint_eq(sizes().temporary, 0);
        check_bytes(5000);
        (void)pack_all();
        check_bytes(5000);
        store_close(store);
        store = NULL;
    }
}
END_TEST

/* The thread keeps its pace: to read a mebibyte takes a second at one in a second. */
START_TEST(pace)
{
    unsigned files = 0;

    open_log(1024 * 1024);
    ck_assert_int_eq(st->ops->reset(st, BEGIN, 0), ERR_OK);
    append(300); /* the first segment has 255 batches, a block each */
    uint64_t begun = clock_now_ns();
    files += pack_all();
    ck_assert_uint_eq(files, 1);
    ck_assert_uint_ge(clock_now_ns() - begun, 900 * CLOCK_NS_PER_MS);
    check_bytes(5000);
}
END_TEST

/* What the packer's thread has open of a segment, and who has closed it. */
static struct watch {
    struct disk_ops ops;
    pthread_t log;
    _Atomic(struct disk_file *) source;
    unsigned closed_by_log, replaced, replaced_held; /* the log's thread counts */
} watch;

static int watch_open(struct disk *d, const char *path, unsigned flags, struct disk_file **out)
{
    int rc = disk_posix()->ops->open(d, path, flags, out);

    if (rc == ERR_OK && strstr(path, "/seg-") != NULL &&
        !pthread_equal(pthread_self(), watch.log)) {
        atomic_store(&watch.source, *out);
    }
    return rc;
}

static void watch_close(struct disk_file *f)
{
    if (f == atomic_load(&watch.source)) {
        if (pthread_equal(pthread_self(), watch.log)) {
            watch.closed_by_log++;
        }
        atomic_store(&watch.source, NULL);
    }
    disk_posix()->ops->close(f);
}

static int watch_rename(struct disk *d, const char *from, const char *to)
{
    if (strstr(from, "/pack.tmp") != NULL) {
        watch.replaced++;
        watch.replaced_held += atomic_load(&watch.source) != NULL;
    }
    return disk_posix()->ops->rename(d, from, to);
}

/* The log's thread never waits until the blocks of an old segment are freed: it is held while
 * another takes its name, or it is trimmed away, and it is the packer's thread that lets go. */
START_TEST(freed_by_the_thread)
{
    static struct disk watched = {&watch.ops};
    unsigned files = 0;
    uint64_t begin = 0;

    watch.ops = *disk_posix()->ops;
    watch.ops.open = watch_open;
    watch.ops.close = watch_close;
    watch.ops.rename = watch_rename;
    watch.log = pthread_self();
    disk = &watched;
    open_log(UINT64_MAX / CLOCK_NS_PER_S);
    ck_assert_int_eq(st->ops->reset(st, BEGIN, 0), ERR_OK);
    append(1000);
    files += pack_all();
    ck_assert_uint_ge(files, 2);
    ck_assert_uint_eq(watch.replaced, files);
    ck_assert_uint_eq(watch.replaced_held, files);
    ck_assert_ptr_null(atomic_load(&watch.source));
    append(300);
    (void)pack_once(&files);
    ck_assert_int_eq(st->ops->trim(st, end, &begin), ERR_OK);
    ck_assert_uint_gt(begin, BEGIN);
    (void)pack_all();
    ck_assert_ptr_null(atomic_load(&watch.source));
    ck_assert_uint_eq(watch.closed_by_log, 0);
}
END_TEST

int main(void)
{
    return UNIT_RUN_FOR("packer", setup, teardown, 120, beside_the_log, in_the_middle, pace,
                        freed_by_the_thread);
}
