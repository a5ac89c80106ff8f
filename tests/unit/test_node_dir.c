/* A log node's folder: one process has it, and it stays one node's of one cluster, whenever the
 * power goes. */
#include "logsvc/node_dir.h"
#include "tests/lib/fake_disk.h"
#include "tests/lib/unit.h"

#include <stdio.h>
#include <string.h>

#define FOLDER "data"

static const uint8_t cluster[16] = {1, 2, 3, [15] = 0xff};
static struct fake_disk *fake;
static struct disk *disk;

static void setup(void)
{
    unit_hush();
    fake = fake_disk_create();
    disk = fake_disk(fake);
}

static void teardown(void)
{
    fake_disk_destroy(fake);
}

static int open_and_close(const char *node_id, const uint8_t cluster_id[16])
{
    struct disk_file *lock;
    int rc = node_dir_open(disk, FOLDER, node_id, cluster_id, &lock);

    ck_assert((rc == ERR_OK) == (lock != NULL));
    disk_close(lock);
    return rc;
}

/* An empty folder is taken for the node, which has it from then on; no other node or cluster does.
 */
START_TEST(belongs_to_one)
{
    uint8_t other[16] = {1, 2, 3};
    char text[512];
    size_t size;

    ck_assert_int_eq(open_and_close("log1", cluster), ERR_OK);
    const uint8_t *bytes = fake_disk_bytes(fake, FOLDER "/node.json", &size);
    ck_assert_ptr_nonnull(bytes);
    (void)snprintf(text, sizeof text, "%.*s", (int)size, (const char *)bytes);
    ck_assert_ptr_nonnull(strstr(text, "\"log1\""));
    ck_assert_ptr_nonnull(strstr(text, "\"010203000000000000000000000000ff\""));
    ck_assert_int_eq(open_and_close("log1", cluster), ERR_OK);
    ck_assert_int_eq(open_and_close("log2", cluster), ERR_REFUSED);
    ck_assert_int_eq(open_and_close("log1", other), ERR_REFUSED);
    ck_assert_int_eq(open_and_close("log1", cluster), ERR_OK);
}
END_TEST

/* Two processes never have it. */
START_TEST(locked)
{
    struct disk_file *lock;

    ck_assert_int_eq(node_dir_open(disk, FOLDER, "log1", cluster, &lock), ERR_OK);
    ck_assert_int_eq(open_and_close("log1", cluster), ERR_EXISTS);
    disk_close(lock);
    ck_assert_int_eq(open_and_close("log1", cluster), ERR_OK);
}
END_TEST

/* What can't be read is not taken for an empty folder, and not written over. */
START_TEST(damaged)
{
    static const char *const texts[] = {"", "{", "[]", "{\"format\": 2}",
                                        "{\"format\": \"1\", \"node_id\": \"log1\"}"};

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        size_t size;
        fake_disk_put(fake, FOLDER "/node.json", texts[i], strlen(texts[i]));
        ck_assert_int_eq(open_and_close("log1", cluster), ERR_CORRUPT);
        ck_assert_ptr_nonnull(fake_disk_bytes(fake, FOLDER "/node.json", &size));
        ck_assert_uint_eq(size, strlen(texts[i]));
    }
    static const char nobodys[] = "{\"format\": 1}";
    fake_disk_put(fake, FOLDER "/node.json", nobodys, strlen(nobodys));
    ck_assert_int_eq(open_and_close("log1", cluster), ERR_REFUSED);
}
END_TEST

/* The power goes at any step of the first start: the next one goes on, and once a start has
 * succeeded, the folder is that node's. */
START_TEST(power_failures)
{
    bool survived = false;

    for (uint64_t at = 1; !survived; at++) {
        for (uint64_t seed = 0; seed < 8; seed++) {
            teardown();
            setup();
            fake_disk_die_at(fake, fake_disk_ops(fake) + at);
            int rc = open_and_close("log1", cluster);
            survived = !fake_disk_is_dead(fake);
            ck_assert((rc == ERR_OK) == survived);
            fake_disk_crash(fake, FAKE_DISK_LOSE_SOME, seed);
            fake_disk_die_at(fake, 0);
            if (survived) {
                ck_assert_int_eq(open_and_close("log2", cluster), ERR_REFUSED);
            }
            ck_assert_int_eq(open_and_close("log1", cluster), ERR_OK);
            ck_assert_int_eq(open_and_close("log2", cluster), ERR_REFUSED);
        }
        ck_assert_uint_lt(at, 100);
    }
}
END_TEST

/* A step that fails is no start, and leaves the folder to the next. */
START_TEST(failed_steps)
{
    for (uint64_t at = 1;; at++) {
        teardown();
        setup();
        fake_disk_fail_at(fake, fake_disk_ops(fake) + at);
        if (open_and_close("log1", cluster) == ERR_OK) {
            ck_assert_uint_gt(at, 3); /* folder, file, name, folder */
            break;
        }
        fake_disk_fail_at(fake, 0);
        ck_assert_int_eq(open_and_close("log1", cluster), ERR_OK);
    }
}
END_TEST

static unsigned log_count;
static uint64_t logs[4];

static void on_log(void *ctx, uint64_t log_id)
{
    ck_assert_ptr_eq(ctx, &log_count);
    ck_assert_uint_lt(log_count, 4);
    logs[log_count++] = log_id;
}

/* Logs are the folders that are named exactly as one is. */
START_TEST(lists_logs)
{
    static const char *const names[] = {"log-0",  "log-007",
                                        "log-7",  "log-7x",
                                        "log--7", "log-",
                                        "log",    "log-18446744073709551615",
                                        "blog-3", "log-18446744073709551616"};
    char path[DISK_PATH_BYTES];

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        ck_assert_int_eq(disk_path(path, FOLDER, names[i]), ERR_OK);
        fake_disk_put(fake, path, "", 0);
    }
    log_count = 0;
    ck_assert_int_eq(node_dir_logs(disk, FOLDER, on_log, &log_count), ERR_OK);
    ck_assert_uint_eq(log_count, 3);
    uint64_t sum = logs[0] + logs[1] + logs[2];
    ck_assert_uint_eq(sum, UINT64_MAX + UINT64_C(7));
    for (unsigned i = 0; i < log_count; i++) {
        ck_assert_int_eq(node_dir_log_path(path, FOLDER, logs[i]), ERR_OK);
        size_t size;
        ck_assert_ptr_nonnull(fake_disk_bytes(fake, path, &size));
    }
}
END_TEST

int main(void)
{
    return UNIT_RUN("node_dir", setup, teardown, belongs_to_one, locked, damaged, power_failures,
                    failed_steps, lists_logs);
}
