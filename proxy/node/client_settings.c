#include "proxy/node/client_settings.h"

#include "common/buf.h"
#include "common/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { CLIENT_SETTINGS_PATH_BYTES = 4200, CLIENT_SETTINGS_MAX_BYTES = 64 * 1024 };

static void client_settings_path(const char *data_dir, const char *suffix, char *path)
{
    (void)snprintf(path, CLIENT_SETTINGS_PATH_BYTES, "%s/client-settings%s", data_dir, suffix);
}

static int client_settings_write(int fd, const struct buf *text)
{
    int rc = file_write(fd, buf_head(text), text->len);

    return rc == 0 && fsync(fd) != 0 ? errno : rc;
}

/* Only then is the name that a file got there sure to last (as rewriteConfigOverwriteFile in
 * config.c has it). */
static int client_settings_sync_folder(const char *data_dir)
{
    int fd = open(data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0) {
        return errno;
    }
    int rc = fsync(fd) == 0 ? 0 : errno;
    (void)close(fd);
    return rc;
}

int client_settings_save(const char *data_dir, const struct client_config *config)
{
    char path[CLIENT_SETTINGS_PATH_BYTES], fresh[CLIENT_SETTINGS_PATH_BYTES];
    struct buf text = BUF_INIT;

    client_settings_path(data_dir, "", path);
    client_settings_path(data_dir, ".new", fresh);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) {
        return errno;
    }
    client_config_write(config, &text);
    int rc = client_settings_write(fd, &text);
    buf_release(&text);
    if (close(fd) != 0 && rc == 0) {
        rc = errno;
    }
    if (rc == 0 && rename(fresh, path) != 0) {
        rc = errno;
    }
    if (rc != 0) {
        (void)unlink(fresh);
        return rc;
    }
    return client_settings_sync_folder(data_dir);
}

int client_settings_load(const char *data_dir, struct client_config *config)
{
    char path[CLIENT_SETTINGS_PATH_BYTES];
    struct buf text = BUF_INIT;

    client_settings_path(data_dir, "", path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? 0 : errno;
    }
    ssize_t got =
        read(fd, buf_reserve(&text, CLIENT_SETTINGS_MAX_BYTES), CLIENT_SETTINGS_MAX_BYTES);
    int rc = got < 0 ? errno : 0;
    buf_commit(&text, got > 0 ? (size_t)got : 0);
    (void)close(fd);
    if (rc == 0 && !client_config_read(config, buf_head(&text), text.len)) {
        rc = EINVAL;
    }
    buf_release(&text);
    return rc;
}
