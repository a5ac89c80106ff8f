/* What CONFIG REWRITE keeps of what is about clients: it outlives the process. */
#include "proxy/node/client_settings.h"

#include "tests/lib/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64], path[96];

static void setup(void)
{
    (void)snprintf(dir, sizeof dir, "/tmp/holdfast-settings-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/client-settings", dir);
}

static void teardown(void)
{
    (void)unlink(path);
    (void)rmdir(path);
    (void)rmdir(dir);
}

static struct client_config with_timeout(uint64_t s)
{
    struct client_config config = {0};

    config.numbers[CLIENT_CONFIG_TIMEOUT_S].set = true;
    config.numbers[CLIENT_CONFIG_TIMEOUT_S].value = s;
    return config;
}

/* What was kept last is read; without anything that was, nothing changes. */
START_TEST(test_kept_is_read)
{
    struct client_config config = with_timeout(7), other = with_timeout(9);

    ck_assert_int_eq(client_settings_load(dir, &config), 0);
    ck_assert_uint_eq(config.numbers[CLIENT_CONFIG_TIMEOUT_S].value, 7);
    ck_assert_int_eq(client_settings_save(dir, &other), 0);
    ck_assert_int_eq(client_settings_load(dir, &config), 0);
    ck_assert_uint_eq(config.numbers[CLIENT_CONFIG_TIMEOUT_S].value, 9);
    other = (struct client_config){0};
    ck_assert_int_eq(client_settings_save(dir, &other), 0);
    ck_assert_int_eq(client_settings_load(dir, &other), 0);
    ck_assert(!other.numbers[CLIENT_CONFIG_TIMEOUT_S].set);
    ck_assert_int_eq(access(path, F_OK), 0);
}
END_TEST

/* What can't be written, or read, is told. */
START_TEST(test_errors)
{
    struct client_config config = with_timeout(7);
    FILE *f;

    ck_assert_int_eq(client_settings_save("/nowhere", &config), ENOENT);
    f = fopen(path, "we");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_gt(fputs("timeout 5\ntimeout never\n", f), 0);
    ck_assert_int_eq(fclose(f), 0);
    ck_assert_int_eq(client_settings_load(dir, &config), EINVAL);
    ck_assert_uint_eq(config.numbers[CLIENT_CONFIG_TIMEOUT_S].value, 7);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert_int_eq(client_settings_load(dir, &config), EISDIR);
    ck_assert_int_ne(client_settings_save(dir, &config), 0);
}
END_TEST

int main(void)
{
    return UNIT_RUN("client_settings", setup, teardown, test_kept_is_read, test_errors);
}
